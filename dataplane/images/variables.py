"""The variables a project brings along: `env` of `langgraph.json`, as a map or as the name of a file.

Their values are secrets. They are read from the archive in memory, leave this module only to be sealed, and
neither they nor the file they come from are unpacked or counted into an image's digest. The same file often
serves the `langgraph` command itself (it even writes the deployment's name into it), so what it holds for
the command is left out here, as the command leaves it out when it sends secrets.
"""

import io
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dotenv.parser import parse_stream
from dotenv.variables import parse_variables
from langgraph_cli.deploy import RESERVED_ENV_VARS

from workflows.causes import Code, Refused

OF_THE_COMMAND = frozenset({"LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "LANGSMITH_DEPLOYMENT_NAME"})
"""What the `langgraph` command reads for itself: these lead to this control plane, not to the agent."""
RESERVED = frozenset(RESERVED_ENV_VARS) - OF_THE_COMMAND
OURS = "GRAPHYARD_"
SERVER = "GRAPHYARD_SERVER"
"""Chosen when the revision is made; the command sends it along."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LARGEST = 256 * 1024
DEFAULT_FILE = ".env"


@dataclass(frozen=True)
class Variables:
    """Names and values, and the names that were left out."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()


def file_of(env: Any, base: str) -> str | None:
    """The archive's path of the file that holds the variables; None when a map does, or it lies outside."""
    if isinstance(env, Mapping) and env:
        return None
    name = env if isinstance(env, str) and env else DEFAULT_FILE
    path = posixpath.normpath(posixpath.join(base, name))
    return None if path.startswith(("../", "/")) or path in ("..", ".") else path


def from_map(env: Mapping[str, Any]) -> Variables:
    """A map says what it wants on purpose, so a name that is not its to set is refused."""
    values: dict[str, str] = {}
    left_out = []
    for name, value in env.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused(
                Code.CONFIG_INVALID,
                f"env: the value of '{_shown(name)}' in `langgraph.json` is not text.",
                "Write it in quotes.",
            )
        if name in OF_THE_COMMAND or name == SERVER:
            left_out.append(name)
            continue
        if _taken(name):
            raise Refused(
                Code.ENVIRONMENT_RESERVED,
                f"env: '{_shown(name)}' in `langgraph.json` is reserved: the platform sets it itself.",
                "Remove it; what may be chosen is set as a secret of the deployment.",
            )
        values[name] = str(value)
    return _checked(values, left_out, "env")


def from_file(text: bytes, path: str) -> Variables:
    """A file as `python-dotenv` reads it, but `${X}` means one of the file, never one of this process."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(
            Code.CONFIG_INVALID, f"env: the file '{path}' is not UTF-8 text.", "Save it as UTF-8."
        ) from None
    values: dict[str, str] = {}
    left_out = []
    for binding in parse_stream(io.StringIO(decoded)):
        if binding.error:
            raise Refused(
                Code.CONFIG_INVALID,
                f"env: line {binding.original.line} of the file '{path}' is not NAME=value.",
                "Correct the line, or leave the file out of the archive.",
            )
        if binding.key is None or binding.value is None:
            continue
        if binding.key in OF_THE_COMMAND or _taken(binding.key):
            left_out.append(binding.key)
            continue
        values[binding.key] = "".join(atom.resolve(values) for atom in parse_variables(binding.value))
    return _checked(values, left_out, f"env: the file '{path}'")


def _taken(name: str) -> bool:
    return name in RESERVED or name.startswith(OURS)


def _checked(values: dict[str, str], left_out: list[str], where: str) -> Variables:
    for name, value in values.items():
        if not NAME.fullmatch(name) or "\0" in value:
            raise Refused(
                Code.CONFIG_INVALID,
                f"{where}: '{_shown(name)}' is no variable's name, or its value holds NUL.",
                "Use letters, digits and _, no digit first.",
            )
    if sum(len(name) + len(value.encode("utf-8", "replace")) for name, value in values.items()) > LARGEST:
        raise Refused(
            Code.CONFIG_INVALID,
            f"{where}: the variables are larger than {LARGEST // 1024} KB in all.",
            "Keep data in files.",
        )
    return Variables(values, tuple(left_out))


def _shown(name: str) -> str:
    return name[:60] if name.isprintable() else ascii(name[:60])
