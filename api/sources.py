"""The rules per source: what a deployment of each kind needs, takes and refuses.

Two tables and a few sentences. A field that a source has no use for is refused rather than ignored, so
nobody waits for an effect that never comes.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from api import pods
from api.bodies import Body, CreateDeployment, RevisionConfig, SecretReference, SourceConfig
from api.environment import NAME, RESERVED
from api.problems import SourceConfiguration, Unacceptable
from workflows import names
from workflows.shapes import PlaneKind, SourceKind

EXTERNAL, DOCKER, SOURCE = SourceKind.EXTERNAL_DOCKER, SourceKind.INTERNAL_DOCKER, SourceKind.INTERNAL_SOURCE
GITHUB, TEMPLATE = SourceKind.GITHUB, SourceKind.INTERNAL_TEMPLATE
BUILT = frozenset({DOCKER, SOURCE})
"""The sources the CLI creates; it may switch between them from revision to revision."""

CONFIG_FIELDS: Mapping[SourceKind, frozenset[str]] = {
    EXTERNAL: frozenset({"custom_url", "resource_spec", "listener_id", "listener_config"}),
    DOCKER: frozenset({"custom_url", "resource_spec", "deployment_type"}),
    SOURCE: frozenset({"custom_url", "resource_spec", "deployment_type", "install_command", "build_command"}),
}
REVISION_FIELDS: Mapping[SourceKind, frozenset[str]] = {
    EXTERNAL: frozenset({"image_uri"}),
    DOCKER: frozenset({"image_uri"}),
    SOURCE: frozenset({"source_tarball_path", "langgraph_config_path"}),
}
PLACED = frozenset({"listener_id", "listener_config"})
"""What means something for every source, once there is more than this machine."""
MATERIAL: Mapping[SourceKind, str] = {
    EXTERNAL: "image_uri",
    DOCKER: "image_uri",
    SOURCE: "source_tarball_path",
}
"""What a revision of each source cannot be made without."""

IMMUTABLE = ("integration_id", "repo_url", "deployment_type", "listener_id", "listener_config", "template_id")
URL = re.compile(r"https?://[^\s/]+\S*")
SPACE = re.compile(r"[\s\x00-\x1f]")


def check_name(name: str) -> None:
    """A name is part of the URL, of a database's name and of process names."""
    shown = name[:60]
    if len(name) > names.LONGEST_NAME:
        raise Unacceptable(f"name: '{shown}…' has {len(name)} characters; {names.LONGEST_NAME} is the most.")
    if not names.NAME_PATTERN.fullmatch(name):
        raise Unacceptable(
            f"name: '{shown}' is not possible; use a-z, 0-9 and -, start with a letter and do not end with -."
        )


def check_new(body: CreateDeployment, kind: PlaneKind = PlaneKind.LOCAL) -> None:
    """Whether a deployment can be made from this, in general and on this kind of plane."""
    source, config, revision = body.source, body.source_config, body.source_revision_config
    if source == GITHUB:
        _check_github(config, revision)
    if source == TEMPLATE and config.template_id is None:
        raise _required("source_config.template_id", source)
    check_available(source)
    check_fields(source, config, revision, kind)
    if source == EXTERNAL:
        if revision.image_uri is None:
            raise _required("source_revision_config.image_uri", source)
        if config.resource_spec is None:
            raise _required("source_config.resource_spec", source, "{} stands for the defaults")
    if revision.source_tarball_path is not None:
        raise SourceConfiguration(
            "source_revision_config.source_tarball_path cannot be known before the deployment exists: "
            "create it first, then ask upload-url."
        )
    check_references(source, body.secret_references, kind)


def check_available(source: SourceKind) -> None:
    """Refuse the sources that only LangChain's own cloud can reach."""
    if source in (GITHUB, TEMPLATE):
        raise SourceConfiguration(
            f"source '{source}' is not available here; use 'internal_source' (`langgraph deploy --remote`) "
            "or 'external_docker'."
        )


def check_fields(
    source: SourceKind,
    config: SourceConfig | None,
    revision: RevisionConfig | None,
    kind: PlaneKind = PlaneKind.LOCAL,
) -> None:
    """Every field that is set must mean something for this source and on this kind of plane."""
    known = CONFIG_FIELDS[source] | (PLACED if kind is PlaneKind.KUBERNETES else frozenset())
    for field in given(config):
        if field == "build_on_push" and not (config and config.build_on_push):
            continue
        if field not in known:
            raise _misplaced(f"source_config.{field}", field, source, CONFIG_FIELDS)
    for field in given(revision):
        if field not in REVISION_FIELDS[source]:
            raise _misplaced(f"source_revision_config.{field}", field, source, REVISION_FIELDS)
    if config is not None and config.custom_url is not None and not URL.fullmatch(config.custom_url):
        raise SourceConfiguration("source_config.custom_url must be an http:// or https:// address.")
    if revision is not None:
        _check_config_path(revision.langgraph_config_path)
        if (image := revision.image_uri) is not None and (not image or SPACE.search(image)):
            raise SourceConfiguration(
                f"source_revision_config.image_uri is not an image's address (source '{source}')."
            )


def check_immutable(config: SourceConfig | None, now: Mapping[str, Any]) -> None:
    """Saying again what holds already is fine; saying something else is not."""
    wanted = config.model_dump(mode="json", exclude_none=True) if config else {}
    for field in IMMUTABLE:
        if field in wanted and wanted[field] != now.get(field):
            raise SourceConfiguration(
                f"source_config.{field} cannot change after creation; it is {now.get(field)!r}."
            )


def of_revision(own: SourceKind, last: SourceKind | None, wanted: SourceKind | None) -> SourceKind:
    """The source of the next revision of a deployment."""
    chosen = wanted or last or own
    check_available(chosen)
    if (own in BUILT) != (chosen in BUILT):
        raise SourceConfiguration(
            f"revision_source '{chosen}' does not go with a deployment of source '{own}'; create another one."
        )
    return chosen


def missing_material(source: SourceKind) -> SourceConfiguration:
    """There is nothing yet that a revision could be made from."""
    how = (
        "ask upload-url, PUT the archive there, then name its path" if source == SOURCE else "name the image"
    )
    return _required(f"source_revision_config.{MATERIAL[source]}", source, how)


def check_references(
    source: SourceKind, references: list[SecretReference] | None, kind: PlaneKind = PlaneKind.LOCAL
) -> None:
    """References lead to secrets of a cluster, so only what runs in one can have them; to none of the platform's."""
    if references and source != EXTERNAL and kind is not PlaneKind.KUBERNETES:
        raise SourceConfiguration(f"secret_references apply to source '{EXTERNAL}' only, not to '{source}'.")
    seen: set[str] = set()
    for reference in references or ():
        name = reference.name
        if not NAME.fullmatch(name):
            raise Unacceptable(f"secret_references: '{name[:80]}' is not a variable name.")
        if name in RESERVED:
            raise Unacceptable(f"'{name}' is reserved: the platform sets it for every server.")
        if name in seen:
            raise Unacceptable(f"secret_references: the variable '{name}' is given twice.")
        if kind is PlaneKind.KUBERNETES and pods.OURS.fullmatch(reference.secret_name):
            raise Unacceptable(
                f"secret_references: the secret '{reference.secret_name[:253]}' belongs to the platform."
            )
        seen.add(name)


def given(body: Body | None) -> list[str]:
    """The fields of a body that are not null."""
    return [field for field, value in body if value is not None] if body is not None else []


def _check_config_path(path: str | None) -> None:
    if path is None:
        return
    parts = PurePosixPath(path).parts
    if (
        not path.endswith(".json")
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or not path.isprintable()
    ):
        raise SourceConfiguration(
            f"source_revision_config.langgraph_config_path '{path[:80]}' must be a relative path to a .json "
            "file inside the archive, without '..'."
        )


def _check_github(config: SourceConfig, revision: RevisionConfig) -> None:
    for field in ("integration_id", "repo_url"):
        if getattr(config, field) is None:
            raise _required(f"source_config.{field}", GITHUB)
    for field in ("repo_ref", "langgraph_config_path"):
        if getattr(revision, field) is None:
            raise _required(f"source_revision_config.{field}", GITHUB)
    if config.build_on_push and (revision.repo_ref or "").startswith("refs/tags/"):
        raise SourceConfiguration(
            "source_config.build_on_push must be false when source_revision_config.repo_ref is a tag "
            f"(source '{GITHUB}')."
        )


def _required(path: str, source: SourceKind, how: str = "") -> SourceConfiguration:
    return SourceConfiguration(f"{path} is required for source '{source}'{': ' + how if how else ''}.")


def _misplaced(
    path: str, field: str, source: SourceKind, table: Mapping[SourceKind, frozenset[str]]
) -> SourceConfiguration:
    homes = [f"'{kind}'" for kind, fields in table.items() if field in fields] or [f"'{GITHUB}'"]
    return SourceConfiguration(f"{path} applies to source {' or '.join(homes)} only, not to '{source}'.")
