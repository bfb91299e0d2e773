"""A network namespace whose kernel lets programs out by named ways only, and nobody in: what a company's wall around a
cluster is to a plane's worker."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

SUBNET = "10.251.7"
HOST, INSIDE = f"{SUBNET}.1", f"{SUBNET}.2"
Address = tuple[str, int]


@dataclass(frozen=True)
class Way:
    """Where one may go, or may not: of two that fit, the first counts."""

    to: str
    """An address, or a whole network."""
    port: int | None = None
    """None: any."""
    open: bool = True


@dataclass(frozen=True)
class Wall:
    """One that stands."""

    inside: tuple[str, ...]
    """What to write before a command so that it runs inside."""

    async def knock(self, where: Address) -> str:
        """What becomes of a connection from inside: `open`, or by which error it is not."""
        return await knock(where, self.inside)

    async def forget(self) -> None:
        """Count anew who was refused."""
        await run(*self.inside, "iptables", "-Z", "OUTPUT")

    async def refused(self) -> list[str]:
        """The ways out that somebody tried in vain, as the kernel tells them, with the count of packets first."""
        told = (await run(*self.inside, "iptables", "-nvxL", "OUTPUT")).splitlines()
        return [one for one in map(str.strip, told) if " REJECT " in one and not one.startswith("0 ")]


async def knock(where: Address, inside: tuple[str, ...] = ()) -> str:
    """What becomes of a connection, from inside or from this machine."""
    code = (
        f"import socket\ntry: socket.create_connection({where!r}, 3).close()\n"
        "except OSError as error: print(type(error).__name__)\nelse: print('open')"
    )
    return (await run(*inside, sys.executable, "-c", code)).strip()


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, (argv, said.decode())
    return said.decode()


@asynccontextmanager
async def walled(ways: Sequence[Way]) -> AsyncIterator[Wall]:
    """Needs root and the tools of a machine that carries a cluster; elsewhere the test says so."""
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("iptables")):
        message = "needs root, ip and iptables, for a network namespace with a wall"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    name = f"gy{uuid4().hex[:6]}"
    inside = ("ip", "netns", "exec", name)
    await run("ip", "netns", "add", name)
    try:
        await run("ip", "link", "add", name, "type", "veth", "peer", "name", "way", "netns", name)
        await run("ip", "address", "add", f"{HOST}/30", "dev", name)
        await run("ip", "link", "set", name, "up")
        for argv in (
            ("ip", "address", "add", f"{INSIDE}/30", "dev", "way"),
            ("ip", "link", "set", "way", "up"),
            ("ip", "link", "set", "lo", "up"),
            ("ip", "route", "add", "default", "via", HOST),
            *rules(ways),
        ):
            await run(*inside, *argv)
        yield Wall(inside)
    finally:
        # Its end of the pair goes with it, and so does ours.
        with contextlib.suppress(AssertionError):
            await run("ip", "netns", "del", name)


def rules(ways: Sequence[Way]) -> list[tuple[str, ...]]:
    """The wall, before anything runs behind it."""
    known = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
    wall: list[tuple[str, ...]] = [
        ("iptables", "-P", chain, "DROP") for chain in ("INPUT", "OUTPUT", "FORWARD")
    ]
    wall += [("iptables", "-A", chain, *known) for chain in ("INPUT", "OUTPUT")]
    wall += [("iptables", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")]
    wall += [("iptables", "-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT")]
    for one in ways:
        port = () if one.port is None else ("-p", "tcp", "--dport", str(one.port))
        wall.append(
            ("iptables", "-A", "OUTPUT", "-d", one.to, *port, "-j", "ACCEPT" if one.open else "REJECT")
        )
    wall.append(("iptables", "-A", "OUTPUT", "-j", "REJECT"))
    return wall
