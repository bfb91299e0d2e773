"""What can be learned from an archive before anything is built, in one reading: preflight's whole work.

Refuses what cannot become an image; what it returns is all that the build needs to know.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dataplane.images import archive, config, dependencies, features, graphs, variables
from dataplane.images.archive import Tree
from dataplane.images.config import Project
from dataplane.images.dependencies import Declarations
from dataplane.images.inflate import Halt, Limits
from dataplane.images.powers import PACKAGES, Powers
from dataplane.images.servers import ServerPackages
from dataplane.images.uv import registry_in, registry_of
from dataplane.images.variables import Variables
from workflows.causes import Code, Refused
from workflows.shapes import Archive

LARGEST_TEXT = 4 << 20


@dataclass(frozen=True)
class Study:
    """An archive, understood."""

    tree: Tree = field(repr=False)
    project: Project
    declarations: Declarations
    told: Mapping[str, Any]
    """What the server is told (see `features`)."""
    variables: Variables
    replaced: Mapping[str, bytes | None] = field(repr=False)
    """Files that are unpacked otherwise, or not at all, because they may hold secrets."""
    registry: Mapping[str, str] = field(repr=False)
    """The project's own registry settings, as variables of uv; may hold passwords."""
    source_digest: str = ""

    def check_names(self, python: str) -> None:
        """That the files named for graphs and handlers define what is named, as far as reading can tell."""
        named = [
            (f"graph '{name}'", graph.target, graph.attribute, Code.GRAPH_MISSING)
            for name, graph in self.project.graphs.items()
            if graph.in_file and graph.target.endswith(".py")
        ]
        named += [(what, path, name, Code.CONFIG_INVALID) for what, path, name in features.files(self.told)]
        for what, path, name, code in named:
            _check_name(self.tree.texts.get(path), what, path, name, code, python)


def study(
    file: BinaryIO,
    wanted: Archive,
    server: ServerPackages,
    limits: Limits,
    halt: Halt,
    powers: Powers = PACKAGES,
) -> Study:
    """Read and check everything that does not depend on this machine."""
    for name in ("install_command", "build_command"):
        if getattr(wanted, name) and not powers.node:
            raise Refused(
                Code.NOT_ON_THIS_PLANE,
                f"{name} cannot be honoured here: such commands build JavaScript projects, and this plane "
                "runs Python servers only.",
                "Leave it out; Python projects are built from their own metadata.",
            )
    tree = archive.survey(file, limits, halt)
    project = config.parse(tree, wanted.config_path, powers)
    told = features.variables(tree, project, server)
    env_file = variables.file_of(project.env, project.base)
    _complete(file, tree, project, told, env_file, limits, halt)
    replaced: dict[str, bytes | None] = {project.path: project.redacted}
    brought = Variables()
    if isinstance(project.env, Mapping):
        brought = variables.from_map(project.env)
    if env_file is not None and env_file in tree.files:
        brought = variables.from_file(_text(tree, env_file, "env"), env_file)
        replaced[env_file] = None
    declarations = dependencies.declared(tree, project, server)
    registry: dict[str, str] = {}
    for path, _ in declarations.contents:
        if path.endswith((".txt", ".in")):
            registry |= registry_in(tree.texts.get(path, b"").decode("utf-8", "replace"))
    if project.pip_config:
        registry |= registry_of(_text(tree, project.pip_config, "pip_config_file"), project.pip_config)
        replaced[project.pip_config] = None
    return Study(
        tree, project, declarations, told, brought, replaced, registry, source_digest=tree.digest(replaced)
    )


def _complete(
    file: BinaryIO,
    tree: Tree,
    project: Project,
    told: Mapping[str, Any],
    env_file: str | None,
    limits: Limits,
    halt: Halt,
) -> None:
    """Read what the first reading did not keep, in the rare case that something needed is among it."""
    needed = {graph.target for graph in project.graphs.values() if graph.in_file}
    needed |= {path for _, path, _ in features.files(told)}
    needed |= {path for path in (env_file, project.pip_config) if path is not None}
    if missing := (needed & set(tree.files)) - set(tree.texts):
        tree.texts.update(archive.read(file, limits, halt, missing, LARGEST_TEXT))


def _text(tree: Tree, path: str, what: str) -> bytes:
    if path not in tree.texts:
        raise Refused(
            Code.CONFIG_INVALID, f"{what}: the file '{path}' is too large.", "It should be a few lines."
        )
    return tree.texts[path]


def _check_name(text: bytes | None, what: str, path: str, name: str, code: Code, python: str) -> None:
    if text is None:
        return
    try:
        found, near = graphs.defines(text, name)
    except graphs.Unparsable as error:
        if python != f"{sys.version_info[0]}.{sys.version_info[1]}":
            return
        raise Refused(
            Code.IMPORT_FAILED,
            f"{what}: '{path}' is not valid Python {python}: {error}.",
            "Correct it; nothing could import it.",
        ) from None
    if found is graphs.Found.NO:
        hint = f" Did you mean {' or '.join(map(json.dumps, near))}?" if near else ""
        raise Refused(
            code,
            f"{what}: '{path}' defines no '{name}'.{hint}",
            "Name something the file defines at its top level.",
        )
