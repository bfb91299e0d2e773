"""`langgraph.json`: checked by the official library, then held against what this plane can really do.

Every key ends in one of three ways: it is honoured, it is refused with a sentence, or, where it can change
nothing here, the build log says that it does nothing. None is passed over in silence.
"""

import difflib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

import click
from langgraph_cli.config import get_unknown_keys, validate_config

from dataplane.images.archive import Tree
from dataplane.images.bundle import Graph
from dataplane.images.powers import PACKAGES, Powers
from workflows.causes import Code, Refused

TYPES: Mapping[str, tuple[type, ...]] = {
    "python_version": (str,),
    "node_version": (str,),
    "api_version": (str,),
    "base_image": (str,),
    "image_distro": (str,),
    "pip_config_file": (str,),
    "pip_installer": (str,),
    "dependencies": (list,),
    "dockerfile_lines": (list,),
    "graphs": (dict,),
    "env": (dict, str),
    "store": (dict,),
    "auth": (dict,),
    "encryption": (dict,),
    "priority": (dict,),
    "http": (dict,),
    "webhooks": (dict,),
    "checkpointer": (dict,),
    "ui": (dict,),
    "ui_config": (dict,),
    "keep_pkg_tools": (bool, list),
}
WORDS = {str: "text", list: "a list", dict: "an object", bool: "true or false"}
SCRIPTS = (".ts", ".mts", ".cts", ".js", ".mjs", ".cjs", ".tsx", ".jsx")
SCRIPT_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
NOWHERE = "Deploy to a plane that builds container images, or leave it out."
DEEPEST = 50


@dataclass(frozen=True)
class Project:
    """What `langgraph.json` asks for, in our words; paths are relative to the archive's root."""

    path: str
    raw: Mapping[str, Any] = field(repr=False)
    """The file as given, without `env`."""
    env: Mapping[str, Any] | str | None = field(repr=False)
    graphs: Mapping[str, Graph]
    dependencies: tuple[str, ...]
    python: str | None
    node: bool
    """Whether it is JavaScript alone."""
    pip_config: str | None
    tools: tuple[str, ...]
    remarks: tuple[str, ...]
    """What is said in the build log: keys that do nothing here."""

    @property
    def base(self) -> str:
        """The directory that relative paths start from."""
        return str(PurePosixPath(self.path).parent)

    @property
    def redacted(self) -> bytes:
        """The file's contents as they are unpacked: `env` may hold secrets and stays behind."""
        return json.dumps(self.raw, indent=2, ensure_ascii=False).encode() + b"\n"


def parse(tree: Tree, path: str, powers: Powers = PACKAGES) -> Project:
    """The project that the config at `path` describes, or the refusal of the first thing that is wrong or that the
    plane has not the powers for."""
    path = posixpath.normpath(path)
    raw = _load(tree, path)
    _check_types(raw)
    _check_library(raw)
    refuse_images(raw, powers)
    base = str(PurePosixPath(path).parent)
    remarks = [
        f"langgraph.json: {warning}" for warning in get_unknown_keys(raw) if "'$schema'" not in warning
    ]
    if (distro := raw.get("image_distro", "debian")) != "debian":
        why = "the base is the plane's own" if powers.containers else "there is no base image"
        remarks.append(f"langgraph.json: image_distro '{distro}' does nothing here: {why}.")
    if raw.get("pip_installer") == "pip" and not powers.containers:
        remarks.append("langgraph.json: pip_installer 'pip' does nothing here: uv resolves and installs.")
    tools = raw.get("keep_pkg_tools") or ()
    return Project(
        path=path,
        raw={key: value for key, value in raw.items() if key != "env"},
        env=raw.get("env"),
        graphs={name: _graph(tree, base, name, value) for name, value in raw["graphs"].items()},
        dependencies=tuple(raw.get("dependencies") or ()),
        python=raw.get("python_version"),
        node=all(_target(value).split(":")[0].endswith(SCRIPTS) for value in raw["graphs"].values()),
        pip_config=_pip_config(tree, base, raw.get("pip_config_file")),
        tools=("pip", "setuptools", "wheel") if tools is True else tuple(tools),
        remarks=tuple(remarks),
    )


def inside(base: str, relative: str) -> str | None:
    """`relative`, seen from `base`, as a path below the archive's root; None when it leads out."""
    path = posixpath.normpath(posixpath.join(base, relative))
    return None if path.startswith(("/", "../")) or path == ".." else path


def close(path: str, among: list[str] | set[str]) -> str:
    """A hint at what may have been meant."""
    near = difflib.get_close_matches(path, among, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def _load(tree: Tree, path: str) -> dict[str, Any]:
    if path not in tree.files:
        others = sorted(name for name in tree.files if PurePosixPath(name).name == "langgraph.json")[:3]
        there = f" There is: {', '.join(others)}." if others else ""
        raise Refused(
            Code.CONFIG_MISSING,
            f"The archive has no '{path}'.{there}",
            "Name the config's path relative to the archive's root.",
        )
    text = tree.texts.get(path)
    if text is None:
        raise invalid(f"'{path}' is too large to be a config")
    try:
        raw = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise invalid(f"'{path}' is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise invalid(f"'{path}' is not JSON: line {error.lineno}, {error.msg}") from None
    except (ValueError, RecursionError):
        raise invalid(f"'{path}' is not JSON that can be read") from None
    if not isinstance(raw, dict):
        raise invalid(f"'{path}' is not a JSON object")
    if _depth(raw) > DEEPEST:
        raise invalid(f"'{path}' is nested too deeply")
    return raw


def _depth(value: Any, at: int = 0) -> int:
    if at > DEEPEST or not isinstance(value, dict | list):
        return at
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(one, at + 1) for one in inner), default=at)


def _check_types(raw: Mapping[str, Any]) -> None:
    """The library trusts the types; with wrong ones it fails in ways that tell nobody anything."""
    for key, types in TYPES.items():
        if raw.get(key) is not None and not isinstance(raw[key], types):
            raise invalid(f"'{key}' must be {' or '.join(WORDS[one] for one in types)}")
    for key in ("dependencies", "dockerfile_lines"):
        if any(not isinstance(one, str) or not one.strip() for one in raw.get(key) or ()):
            raise invalid(f"every entry of '{key}' must be text")
    for name, value in (raw.get("graphs") or {}).items():
        spec = value.get("path") if isinstance(value, dict) else value
        if not isinstance(spec, str):
            raise invalid(f"graph '{name}' must be text like './agent.py:graph', or an object with a 'path'")
        if isinstance(value, dict) and not isinstance(value.get("description"), str | None):
            raise invalid(f"the description of graph '{name}' must be text")
    for key, inner in (("auth", "path"), ("encryption", "path"), ("priority", "path"), ("http", "app")):
        if not isinstance((raw.get(key) or {}).get(inner), str | None):
            raise invalid(f"'{key}.{inner}' must be text")


def _check_library(raw: Mapping[str, Any]) -> None:
    """The official rules, with the official sentences."""
    try:
        validate_config(cast(Any, dict(raw)))
    except click.ClickException as error:
        raise invalid(_one_line(error.format_message())) from None
    except (ValueError, TypeError, KeyError, AttributeError, SystemExit) as error:
        raise invalid(_one_line(str(error)) or "the official library cannot read it") from None


def refuse_images(raw: Mapping[str, Any], powers: Powers) -> None:
    """What only makes sense where a container image is built, and what nobody can have here."""
    if raw.get("dockerfile_lines") and not powers.containers:
        raise elsewhere(
            "dockerfile_lines", "no container image is built here, so there is nothing to run them in"
        )
    scripts = [
        name for name, value in raw["graphs"].items() if _target(value).split(":")[0].endswith(SCRIPTS)
    ]
    if scripts and not powers.node:
        raise elsewhere(f"graph '{scripts[0]}'", "it is JavaScript, and this plane runs Python servers only")
    if raw.get("node_version") and not powers.node:
        raise elsewhere("node_version", "this plane has no Node.js; it runs Python servers only")
    for key in ("ui", "ui_config"):
        if raw.get(key) and not powers.node:
            raise elsewhere(key, "interface components are built with Node.js, which this plane has not")
    base = "this plane builds on its own" if powers.containers else "there is no base to build on"
    for key in ("base_image", "_INTERNAL_docker_tag"):
        if raw.get(key):
            raise elsewhere(
                key, f"{'' if powers.containers else 'no container image is built here, so '}{base}"
            )
    if raw.get("source"):
        raise elsewhere(
            "source", "list what is needed in 'dependencies' instead", 'Write "dependencies": ["."].'
        )
    if "-" in (raw.get("python_version") or ""):
        raise elsewhere(
            f"python_version '{raw['python_version']}'",
            "it names a variant of a container image",
            "Give the version alone, as in '3.11'.",
        )


def _target(value: Any) -> str:
    return str(value["path"] if isinstance(value, dict) else value)


def _graph(tree: Tree, base: str, name: str, value: Any) -> Graph:
    spec = value["path"] if isinstance(value, dict) else value
    description = value.get("description") if isinstance(value, dict) else None
    module, _, attribute = spec.partition(":")
    if not module or not attribute:
        raise invalid(f"graph '{name}': '{spec}' is not like './agent.py:graph'")
    if not attribute.isidentifier() and not (module.endswith(SCRIPTS) and SCRIPT_NAME.fullmatch(attribute)):
        raise invalid(f"graph '{name}': '{attribute}' is not a Python name")
    target, in_file = target_of(tree, base, module, f"graph '{name}'", Code.GRAPH_MISSING, (".py", *SCRIPTS))
    return Graph(target=target, attribute=attribute, in_file=in_file, description=description)


def target_of(
    tree: Tree, base: str, module: str, what: str, code: Code, ends: tuple[str, ...] = (".py",)
) -> tuple[str, bool]:
    """Where an import leads: a file of the archive, or the name of a module, as the server tells them."""
    if "/" not in module:
        if module.endswith(".py"):
            raise Refused(
                code, f"{what}: '{module}' would be taken for a module.", f"Write './{module}' for a file."
            )
        if not all(part.isidentifier() for part in module.split(".")):
            raise Refused(
                code, f"{what}: '{module}' is neither a file nor a module.", "Write './agent.py:graph'."
            )
        return module, False
    path = inside(base, module)
    if path is None:
        raise Refused(
            code, f"{what}: '{module}' leads out of the archive.", "Name a file inside the project."
        )
    if path not in tree.files:
        hint = close(path, list(tree.files))
        raise Refused(code, f"{what}: the file '{module}' is not in the archive.{hint}", "Check the path.")
    if not path.endswith(ends):
        raise Refused(code, f"{what}: '{module}' is not a Python file.", "Name a file that ends in .py.")
    return path, True


def _pip_config(tree: Tree, base: str, name: str | None) -> str | None:
    if not name:
        return None
    path = inside(base, name)
    if path is None or path not in tree.files:
        raise Refused(
            Code.CONFIG_INVALID,
            f"pip_config_file: '{name}' is not in the archive.",
            "Check the path, and that no ignore file leaves it out.",
        )
    return path


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500].rstrip(".")


def invalid(what: str) -> Refused:
    """The config is wrong, whatever the plane."""
    return Refused(Code.CONFIG_INVALID, f"langgraph.json: {what}.", "Correct it and deploy again.")


def elsewhere(what: str, why: str, fix: str = NOWHERE) -> Refused:
    """The config is right, but not for this plane."""
    return Refused(Code.NOT_ON_THIS_PLANE, f"langgraph.json: {what} cannot be honoured here: {why}.", fix)
