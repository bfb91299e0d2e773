"""From an archive that was studied to the Dockerfile of its image: the official library's text on a base of ours.

Pure in what it yields. The library looks at files rather than at values, so a skeleton of the project (names, and
the few files that it reads) is laid out for as long as it is asked.
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, cast

import click
from langgraph_cli.config import config_to_docker, validate_config

from dataplane.images.config import invalid
from dataplane.images.study import Study
from dataplane.images.uv import NO_INDEX
from workflows.causes import Refused
from workflows.shapes import Archive

ROOT = "project"
"""The archive's own directory: what it was called at home is not told."""
READ = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "package.json",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
)
"""What the library reads, and not only looks for."""
REGISTRY, PIP = "registry", "pipconfig"
"""The build's secrets: the project's registry settings as variables, and its pip configuration."""
SECRETS = "/run/secrets"
MOUNT = f"--mount=type=secret,id={{0}},target={SECRETS}/{{0}}"
SETTING = re.compile(r"^ENV (?P<name>\w+)='(?P<value>.*)'$")
SOURCE = re.compile(r"(ADD|COPY --from=\S+) \. ")
USER = "10001:10001"
SEAL = "RUN python3 /usr/local/libexec/graphyard/seal"


@dataclass(frozen=True)
class Recipe:
    """All that a build is told beside the source."""

    dockerfile: str
    root: str
    """The directory below the source's root that is the build's context."""
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Further ones by their names, below the source's root."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    layered: bool = False
    """Whether something comes before the source that is worth keeping from build to build."""


def recipe(found: Study, wanted: Archive, base: str, python: str) -> Recipe:
    """The recipe for a project on that base. Raises `Refused(CONFIG_INVALID)` for what the library refuses."""
    secrets = _secrets(found)
    with TemporaryDirectory() as scratch:
        root = Path(scratch).resolve() / ROOT
        _lay_out(found, root)
        config = root / found.project.path
        whole = bool(found.project.node and (wanted.install_command or wanted.build_command))
        try:
            text, contexts = config_to_docker(
                config,
                cast(Any, _config(found, python)),
                base_image="base",
                install_command=wanted.install_command,
                build_command=wanted.build_command,
                build_context=str(root) if whole else None,
            )
        except click.ClickException as error:
            raise _unfit(error.format_message(), root) from None
        except (ValueError, OSError) as error:
            raise _unfit(str(error), root) from None
        below = {name: str(Path(path).relative_to(root)) for name, path in contexts.items()}
    lines = _lines(text, base, secrets)
    return Recipe(
        dockerfile="\n".join([*lines, "", SEAL, f"USER {USER}", ""]),
        root="." if whole else found.project.base,
        contexts=below,
        secrets=secrets,
        layered=_layered(lines),
    )


def _config(found: Study, python: str) -> dict[str, Any]:
    """As the library wants it, without what is settled already: the base with its version, and what is secret."""
    raw = {
        key: value
        for key, value in found.project.raw.items()
        if key not in ("api_version", "pip_config_file", "image_distro", "base_image")
    }
    if not found.project.node:
        raw["python_version"] = python
    return dict(validate_config(cast(Any, raw)))


def _lay_out(found: Study, root: Path) -> None:
    root.mkdir()
    made = {root}
    for path in found.tree.files:
        if path in found.replaced and found.replaced[path] is None:
            continue
        place = root / path
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        place.write_bytes(found.tree.texts.get(path, b"") if PurePosixPath(path).name in READ else b"")


def _lines(text: str, base: str, secrets: Mapping[str, str]) -> list[str]:
    lines = []
    begun = False
    for line in text.splitlines():
        if line.startswith("FROM base:") and not begun:
            line, begun = f"FROM {base}", True
        elif setting := SETTING.match(line):
            # The library puts JSON between single quotes, whatever is in it.
            line = f"ENV {setting['name']}='{setting['value'].replace(chr(39), chr(92) + 'u0027')}'"
        elif line.startswith("RUN for dep in"):
            # Its status would be that of the last one, however the others went.
            line = line.replace("RUN for", "RUN set -e; for", 1)
        if line.startswith("RUN ") and "pip install" in line and secrets:
            mounts = " ".join(MOUNT.format(name) for name in secrets)
            line = f"RUN {mounts} set -a; . {SECRETS}/{REGISTRY}; set +a; {line.removeprefix('RUN ')}"
        lines.append(line)
    return lines


def _layered(lines: Iterable[str]) -> bool:
    """Whether something is run before the source is there: lines of the project's own, or its requirements."""
    before = takewhile(lambda line: not SOURCE.match(line), lines)
    return any(line.upper().startswith("RUN ") for line in before)


def _secrets(found: Study) -> dict[str, str]:
    """What installing needs to know of private registries. Addresses may hold passwords, so none is in the text."""
    if not found.registry and not found.project.pip_config:
        return {}
    settings = {
        ("UV_NO_INDEX" if name == NO_INDEX else name): value for name, value in found.registry.items()
    }
    secrets = {}
    if path := found.project.pip_config:
        secrets[PIP] = found.tree.texts[path].decode("utf-8-sig")
        settings["PIP_CONFIG_FILE"] = f"{SECRETS}/{PIP}"
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
    return {REGISTRY: "".join(lines), **secrets}


def _unfit(said: str, root: Path) -> Refused:
    return invalid(" ".join(said.replace(f"{root}/", "").replace(str(root), ".").split())[:500].rstrip("."))


def told(recipe: Recipe, **more: object) -> str:
    """The recipe as the builder's programs read it; what is secret is not in it."""
    known = {"root": recipe.root, "contexts": dict(recipe.contexts), "secrets": sorted(recipe.secrets)}
    return json.dumps({**known, **more}, sort_keys=True)
