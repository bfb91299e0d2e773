"""From what a caller sent to the next wish on record: checked whole, then written, or not at all.

Both ways to a revision (PATCH of a deployment, POST of a revision) come through here, so they agree on what
null means (leave it) and on what `[]` means for secrets (leave them).
"""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api import bodies, environment, places, resources, sources
from api.bodies import Change, CreateDeployment, RevisionConfig, Secret
from api.parts import Parts
from api.problems import SourceConfiguration
from api.shapes import SourceConfig
from records import revision, upload, wish
from records.deployment import Deployment
from records.revision import Revision
from records.specification import REVISION_KEYS, Environment, merged
from records.specification import Change as Wished
from records.upload import UploadState
from workflows.decide import CONTAINERS
from workflows.shapes import SourceKind

SETTLED_KEYS = ("build_on_push", "listener_id", "listener_config")
"""The keys of `source_config` that are kept as they were set, besides those of a revision."""


def sealed(house: Parts, deployment_id: UUID, values: dict[str, str]) -> Environment:
    """A map of variables as it may be written down."""
    return Environment(
        sealed=house.keyring.seal_map(values, str(deployment_id)),
        flavour=environment.flavour(values, house.settings.flavour),
        custom_postgres="POSTGRES_URI_CUSTOM" in values,
        custom_redis="REDIS_URI_CUSTOM" in values,
    )


def variables(house: Parts, row: Deployment) -> dict[str, str]:
    """A deployment's variables in the open."""
    return house.keyring.open_map(row.environment, str(row.id))


def makes_revision(body: Change) -> bool:
    """Whether a PATCH asks for a new revision, by the contract's list."""
    config = body.source_config
    return bool(
        sources.given(body.source_revision_config)
        or body.secrets
        or body.secret_references is not None
        or (config and any(getattr(config, key) is not None for key in REVISION_KEYS))
    )


async def check(session: AsyncSession, house: Parts, owner: Deployment, body: Change) -> Wished:
    """What the next revision of a locked deployment has different, or the refusal of it."""
    last = await revision.newest(session, owner.id)
    source = sources.of_revision(owner.source, last.source if last else None, body.revision_source)
    sources.check_immutable(body.source_config, SourceConfig.of(owner).model_dump(mode="json"))
    kind = (await places.of(session, house, owner.plane)).kind
    sources.check_fields(source, _changing(body), body.source_revision_config, kind)
    sources.check_references(source, body.secret_references, kind)
    config = settings_of(body)
    if config.get("resource_spec") is not None:
        resources.check(config["resource_spec"], source, kind, privileged=house.settings.privileged_pods)
    new = _environment(house, owner, body.secrets)
    spec = merged(owner.source_config, config).get("resource_spec")
    if source not in CONTAINERS:
        resources.check_flavour(spec, new.flavour if new else owner.flavour)
    return Wished(
        source=source,
        source_revision_config=body.source_revision_config.given if body.source_revision_config else None,
        source_config=config,
        environment=new,
        secret_references=references_of(body),
        tracked_packages=body.tracked_packages,
        upload_id=await _upload(session, owner, body.source_revision_config),
    )


async def complete(session: AsyncSession, owner: Deployment, wished: Wished) -> bool:
    """Whether there is something to make a revision from: an archive or an image, new or kept."""
    assert wished.source is not None
    field = sources.MATERIAL[wished.source]
    last = await revision.newest(session, owner.id)
    kept = owner.source_revision_config if last and last.source is wished.source else {}
    return field in (wished.source_revision_config or {}) or field in kept


async def revise(session: AsyncSession, owner: Deployment, wished: Wished) -> Revision:
    """A new revision of a locked deployment, from what was checked."""
    if not await complete(session, owner, wished):
        raise sources.missing_material(wished.source or owner.source)
    return await wish.add(session, owner.id, wished)


def remember(owner: Deployment, wished: Wished) -> None:
    """Keep variables for the first revision; so far there is nothing to make one from."""
    if wished.environment is not None:
        owner.use(wished.environment)


def settings_of(body: Change | CreateDeployment) -> dict[str, Any]:
    """The keys of `source_config` that are put on record as they come."""
    given = body.source_config.model_dump(mode="json", exclude_none=True) if body.source_config else {}
    return {key: given[key] for key in (*REVISION_KEYS, *SETTLED_KEYS) if key in given}


def references_of(body: Change | CreateDeployment) -> list[dict[str, Any]] | None:
    """Secret references as plain data, in the order they were given."""
    if body.secret_references is None:
        return None
    return [reference.model_dump() for reference in body.secret_references]


def _changing(body: Change) -> bodies.SourceConfig | None:
    """The source_config without what was set at creation and is merely said again."""
    if body.source_config is None:
        return None
    return body.source_config.model_copy(update=dict.fromkeys(sources.IMMUTABLE))


def _environment(house: Parts, owner: Deployment, secrets: list[Secret] | None) -> Environment | None:
    if not secrets:
        return None
    values = environment.checked(secrets)
    environment.check_kept(variables(house, owner), values)
    return sealed(house, owner.id, values)


async def _upload(session: AsyncSession, owner: Deployment, config: RevisionConfig | None) -> UUID | None:
    path = config.source_tarball_path if config else None
    if path is None:
        return None
    field = "source_revision_config.source_tarball_path"
    found = await upload.find(session, owner.id, path)
    if found is None:
        raise SourceConfiguration(
            f"{field} '{path[:120]}' was not issued for this deployment; use the object_path that its "
            f"upload-url answered (source '{SourceKind.INTERNAL_SOURCE}')."
        )
    if found.state is not UploadState.STORED:
        raise SourceConfiguration(
            f"{field} '{path[:120]}' has no archive yet; PUT it to the upload_url that came with it first "
            f"(source '{SourceKind.INTERNAL_SOURCE}')."
        )
    return found.id
