"""Names of container images, in a table."""

from pathlib import Path
from uuid import UUID

import pytest

from dataplane.kubernetes.references import Name, parse, reference
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from tests.wishes import a_wish
from workflows.causes import Code, Refused
from workflows.shapes import SourceKind

DIGEST = f"sha256:{'ab' * 32}"
ONE = UUID("0badc0de-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("redis", "docker.io", "library/redis", "", ""),
        (" redis\n", "docker.io", "library/redis", "", ""),
        ("redis:7", "docker.io", "library/redis", "7", ""),
        ("acme/app", "docker.io", "acme/app", "", ""),
        ("acme/deep/app:1", "docker.io", "acme/deep/app", "1", ""),
        ("docker.io/redis", "docker.io", "library/redis", "", ""),
        ("registry.example/app", "registry.example", "app", "", ""),
        ("registry.example:5000/team/app:1.2_x", "registry.example:5000", "team/app", "1.2_x", ""),
        ("localhost/app", "localhost", "app", "", ""),
        ("localhost:5000/app:1", "localhost:5000", "app", "1", ""),
        (f"registry.example/app@{DIGEST}", "registry.example", "app", "", DIGEST),
        (f"registry.example/app:1@{DIGEST}", "registry.example", "app", "1", DIGEST),
    ],
)
def test_names(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    assert parse(text) == Name(registry, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "App",
        "registry.example/",
        "a//b",
        "a/../b",
        "app:",
        "app:-x",
        "app@sha256:00",
        "app@",
        "a b",
        "https://registry.example/app",
        "-x",
        "user:secret@registry.example/app",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert caught.value.cause.code is Code.IMAGE_REFUSED


def site(address: str) -> Site:
    return Site(
        plane="test",
        namespace="a",
        build_namespace="b",
        kubeconfig=None,
        keys=Path("keys"),
        registry=Registry(address=address, api="http://127.0.0.1:1"),
        images=Images(),
        database=Database(),
        door=Door(public_url="http://127.0.0.1:1"),
    )


@pytest.mark.parametrize(
    ("source", "uri", "wanted"),
    [
        (SourceKind.INTERNAL_SOURCE, None, "registry.example/gy/agents"),
        (SourceKind.INTERNAL_DOCKER, "registry.example/gy/agent:7", "registry.example/gy/agent-0badc0de"),
        (SourceKind.EXTERNAL_DOCKER, "acme/app:7", "docker.io/acme/app"),
        (SourceKind.EXTERNAL_DOCKER, f"other.example/app@{DIGEST}", "other.example/app"),
    ],
)
def test_what_nodes_pull(source: SourceKind, uri: str | None, wanted: str) -> None:
    wish = a_wish(name="agent", deployment_id=ONE, source=source, image_uri=uri, image=DIGEST)
    assert reference(site("registry.example/gy"), wish) == f"{wanted}@{DIGEST}"


def test_without_an_image_there_is_nothing_to_pull() -> None:
    with pytest.raises(ValueError, match="no image yet"):
        reference(site("registry.example"), a_wish(image=None))
