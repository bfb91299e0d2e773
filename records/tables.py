"""Every table in one place, for whoever needs the whole schema: migrations and sessions."""

from records import (
    deployment,
    difference,
    event,
    image,
    inventory,
    key,
    line,
    link,
    listener,
    orphan,
    part,
    plane,
    revision,
    upload,
    workspace,
)
from records.base import Base

TABLES = (
    workspace.Workspace,
    key.ApiKey,
    deployment.Deployment,
    revision.Revision,
    upload.Upload,
    part.Part,
    link.Link,
    image.Image,
    image.Build,
    inventory.Item,
    event.Event,
    line.Line,
    listener.Listener,
    difference.Drift,
    orphan.Orphan,
    plane.Plane,
)
metadata = Base.metadata
