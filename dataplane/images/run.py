"""Runs the programs a build needs: their output line by line, their end tied to ours, cancelled for real."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from dataplane.images.buildlog import masked

LEASH = Path(__file__).with_name("leash.py")
REMEMBERED = 400
LONGEST_LINE = 8 * 1024
PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "NETRC",
    "CC",
    "CXX",
    "CFLAGS",
    "LDFLAGS",
)
PREFIXES = ("UV_", "PIP_", "SSL_", "LC_", "XDG_", "GIT_", "REQUESTS_", "CURL_", "CARGO_", "RUSTUP_")
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


class Failed(Exception):
    """A program ended with an error; its last lines say why."""

    def __init__(self, code: int, lines: list[str]) -> None:
        self.code, self.lines = code, lines
        super().__init__(f"exit status {code}")


class Killed(Exception):
    """A program was killed by somebody else; trying again may work."""


def environment() -> dict[str, str]:
    """Of our own environment what a build may see: the registry's settings, none of our secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PREFIXES) or name.upper() in PROXIES
    }


async def run(argv: list[str], cwd: Path, env: Mapping[str, str], said: Callable[[str], None]) -> None:
    """Run to the end, or kill the whole group when cancelled. `said` hears every line as it comes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(LEASH),
        str(os.getpid()),
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=REMEMBERED)
    reading = asyncio.create_task(_read(process.stdout, last, said))
    try:
        await asyncio.shield(reading)
        code = await process.wait()
    except BaseException:
        await asyncio.shield(_end(process))
        raise
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    if code < 0:
        raise Killed(f"{Path(argv[0]).name} was ended by signal {-code}")
    if code:
        raise Failed(code, list(last))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have the leash end the program and all it started; if it is not heard, the kernel ends the program."""
    for tell in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            tell()
            await asyncio.wait_for(process.wait(), 5)
            return


async def _read(stream: asyncio.StreamReader, last: deque[str], said: Callable[[str], None]) -> None:
    async for raw in _lines(stream):
        line = masked(raw.decode("utf-8", "replace").rstrip())
        last.append(line)
        if line.strip():
            said(line)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; overlong ones in pieces."""
    rest = b""
    while chunk := await stream.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
