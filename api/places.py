"""The planes that a workspace may deploy to, by the ids that callers know: a listener each, if it is in a cluster.

Every workspace shares the installation's planes, and each knows one by an id of its own. A listener that was put on
record for one workspace is a plane of that workspace's alone, by its own id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from api.access import Tenant
from api.bodies import SourceConfig
from api.parts import Parts
from api.problems import SourceConfiguration
from api.shapes import Listener
from records import listener, plane, workspace
from workflows.shapes import PlaneKind, SourceKind

COMPUTE = "k8s"


@dataclass(frozen=True)
class Place:
    """A plane, and what it is made of."""

    name: str
    kind: PlaneKind


def known_as(workspace_id: UUID, name: str) -> UUID:
    """The id by which a workspace knows a plane of the installation."""
    return uuid5(workspace_id, name)


async def kinds(session: AsyncSession, house: Parts) -> Mapping[str, PlaneKind]:
    """Every plane of the installation: those of the settings, and those that were ever heard of."""
    heard = {
        row.name: PlaneKind(row.kind) for row in await plane.all_of(session) if row.kind in set(PlaneKind)
    }
    return {**heard, **house.settings.kinds}


async def of(session: AsyncSession, house: Parts, name: str) -> Place:
    """The plane that a deployment is on."""
    settled = house.settings.kinds.get(name)
    return Place(name, settled or await plane.kind(session, name))


async def choose(
    session: AsyncSession, house: Parts, caller: Tenant, source: SourceKind, config: SourceConfig
) -> Place | None:
    """Where a new deployment goes: to the listener it names, or where they usually go; None if the workspace has no
    such listener. One that has listeners of its own must say which."""
    own = await listener.page(session, caller.id, limit=100)
    if (wanted := config.listener_id) is not None:
        name = await named(session, house, caller.id, wanted)
        return Place(name, PlaneKind.KUBERNETES) if name else None
    if own and source is SourceKind.EXTERNAL_DOCKER:
        ids = ", ".join(str(row.id) for row in own)
        raise SourceConfiguration(
            f"'source_config.listener_id' is required for source '{source}' in this workspace. Available: {ids}."
        )
    return await of(session, house, house.settings.usual_plane)


async def named(session: AsyncSession, house: Parts, workspace_id: UUID, listener_id: UUID) -> str | None:
    """The plane behind a listener's id, if the workspace has that one."""
    if await listener.get(session, workspace_id, listener_id) is not None:
        return str(listener_id)
    for name, kind in (await kinds(session, house)).items():
        if kind is PlaneKind.KUBERNETES and known_as(workspace_id, name) == listener_id:
            return name
    return None


async def listeners(session: AsyncSession, house: Parts, caller: Tenant) -> list[Listener]:
    """All that a workspace has, newest first; those of the installation after its own."""
    home = await workspace.get(session, caller.id)
    assert home is not None, "it has the caller's key"
    own = [Listener.of(row) for row in await listener.page(session, caller.id, limit=100)]
    mine = {str(one.id) for one in own}
    heard = {row.name: row for row in await plane.all_of(session)}
    shared = []
    for name, kind in sorted((await kinds(session, house)).items()):
        if kind is not PlaneKind.KUBERNETES or name in mine or _is_another_s(name):
            continue
        row = heard.get(name)
        shared.append(
            Listener(
                id=known_as(caller.id, name),
                created_at=home.created_at,
                updated_at=row.seen_at if row else home.created_at,
                version=row.version or None if row else None,
                compute_type=COMPUTE,
                compute_id=name,
                compute_config=NOWHERE_IN_PARTICULAR,
            )
        )
    return own + shared


def _is_another_s(name: str) -> bool:
    """A plane that is called by a listener's id is that listener's workspace's."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True


NOWHERE_IN_PARTICULAR: dict[str, Any] = {"k8s_namespaces": None}
