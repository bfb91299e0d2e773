"""`uv`, the one program that resolves and installs: how it is called, and what it may see and download."""

import contextlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Mapping
from configparser import Error, RawConfigParser
from pathlib import Path

from dataplane.images.run import environment, run
from workflows.causes import Code, Refused

ALWAYS = {
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "UV_COMPILE_BYTECODE": "0",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


UNLESS_SAID = {"UV_SYSTEM_CERTS": "1"}
"""uv brings authorities of its own; what this machine trusts, a company's TLS proxy say, pip trusts too."""
NO_INDEX = "--no-index"
"""The one setting that uv takes as an argument only."""
OPTIONS = {
    "-i": "UV_DEFAULT_INDEX",
    "--index-url": "UV_DEFAULT_INDEX",
    "--extra-index-url": "UV_INDEX",
    "-f": "UV_FIND_LINKS",
    "--find-links": "UV_FIND_LINKS",
    "--trusted-host": "UV_INSECURE_HOST",
}
OPTION = re.compile(rf"^\s*({'|'.join(OPTIONS)})(?:\s+|=)(\S+)", re.MULTILINE)


class Uv:
    """Calls of uv with one registry configuration."""

    def __init__(self, cache: Path, registry: Mapping[str, str] | None = None) -> None:
        self._cache = cache
        self._registry = dict(registry or {})

    @staticmethod
    def version() -> str:
        return importlib.metadata.version("uv")

    def against(self, registry: Mapping[str, str]) -> "Uv":
        """The same with a project's own registry settings on top."""
        return Uv(self._cache, {**self._registry, **registry})

    async def __call__(self, *args: str, cwd: Path, said: Callable[[str], None]) -> None:
        """Run it; raises `run.Failed` with its last lines, `run.Killed` when it was killed."""
        env = (
            UNLESS_SAID | environment() | ALWAYS | {k: v for k, v in self._registry.items() if k != NO_INDEX}
        )
        if NO_INDEX in self._registry and args[0] == "pip":
            args = (*args[:2], "--no-index", *args[2:])
        if "HOME" not in env:
            env["UV_CACHE_DIR"] = str(self._cache)
        # Here, because a cluster's plane reads what this file says of indexes and has no uv.
        from uv import find_uv_bin

        await run([find_uv_bin(), *args], cwd, env, said)


def ambient() -> dict[str, str]:
    """The index that pip uses on this machine, if uv has not been told of one: whoever could install us with
    pip can then build, too."""
    if {"UV_INDEX_URL", "UV_DEFAULT_INDEX"} & set(os.environ):
        return {}
    if "PIP_INDEX_URL" in os.environ:
        return {"UV_DEFAULT_INDEX": os.environ["PIP_INDEX_URL"]}
    found: dict[str, str] = {}
    home = Path(os.environ.get("HOME", "/nonexistent"))
    named = Path(os.environ.get("PIP_CONFIG_FILE", "/nonexistent"))
    for path in (Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf", named):
        with contextlib.suppress(OSError, Refused):
            found |= registry_of(path.read_bytes(), path.name)
    return {name: found[name] for name in ("UV_DEFAULT_INDEX", "UV_INSECURE_HOST") if name in found}


def registry_of(pip_config: bytes, path: str) -> dict[str, str]:
    """What a pip configuration file says about registries, in uv's variables.

    Variables, not arguments: addresses may hold passwords, and arguments can be read by everyone.
    """
    parser = RawConfigParser()
    try:
        parser.read_string(pip_config.decode("utf-8-sig"))
    except (Error, UnicodeDecodeError):
        raise Refused(
            Code.CONFIG_INVALID,
            f"pip_config_file: '{path}' is not a pip configuration file.",
            "It starts with a section, as in [global], and has lines like index-url = https://….",
        ) from None
    found: dict[str, list[str]] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            for key, value in parser.items(section):
                found[key.replace("_", "-")] = value.split()
    translated = {
        "UV_DEFAULT_INDEX": " ".join(found.get("index-url", ())[:1]),
        "UV_INDEX": " ".join(found.get("extra-index-url", ())),
        "UV_FIND_LINKS": ",".join(found.get("find-links", ())),
        "UV_INSECURE_HOST": " ".join(found.get("trusted-host", ())),
        NO_INDEX: "1" if found.get("no-index", ["false"])[0].lower() in ("1", "true", "yes", "on") else "",
    }
    return {name: value for name, value in translated.items() if value}


def registry_in(requirements: str) -> dict[str, str]:
    """The same of the options in a requirements file: the lock leaves them out, installing needs them."""
    found: dict[str, list[str]] = {}
    for match in OPTION.finditer(requirements):
        found.setdefault(OPTIONS[match[1]], []).append(match[2].strip("'\""))
    return {name: ("," if name == "UV_FIND_LINKS" else " ").join(values) for name, values in found.items()}
