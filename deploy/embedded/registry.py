"""Where packages come from: what pip was told on this machine, uv is told too.

`make up` installs with pip, so a stack that runs has a pip that can reach a registry. Builds use uv, which
reads none of pip's files and brings its own list of authorities: behind a company's mirror or its TLS proxy
the one would work and the other fail.
"""

import sys
from collections.abc import Iterator, Mapping
from configparser import Error, RawConfigParser
from pathlib import Path

NAMED = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
"""Any of these in the environment is somebody's choice; it wins over files."""


def registry(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for uv, of what the environment leaves open. An address may hold a password: print none."""
    told = pip_settings(environ)
    found: dict[str, str] = {}
    if (index := told.get("index-url")) and not any(environ.get(name) for name in NAMED):
        found["UV_DEFAULT_INDEX"] = index
    if cert := environ.get("PIP_CERT") or told.get("cert"):
        found["SSL_CERT_FILE"] = cert
    return {name: value for name, value in found.items() if not environ.get(name)}


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip's files say, later ones over earlier ones, as pip itself reads them."""
    told: dict[str, str] = {}
    for path in _files(environ):
        parser = RawConfigParser()
        try:
            parser.read(path)
        except (Error, UnicodeDecodeError, OSError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                told |= {key.replace("_", "-"): value.strip() for key, value in parser.items(section)}
    return told


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    own = environ.get("PIP_CONFIG_FILE")
    if own == "/dev/null":
        return
    home = Path(environ.get("HOME") or "/nonexistent")
    yield Path("/etc/xdg/pip/pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if own:
        yield Path(own)
