"""A plane's images on a real cluster: sources handed out by a small server that pods can reach, lines kept."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.images.images import KubernetesImages
from dataplane.kubernetes.kinds import JOB, POD, SECRET
from dataplane.kubernetes.site import Registry, Site
from sealing import Keyring
from tests.cluster import REGISTRY, a_site, namespaced
from tests.dataplane.images.conftest import CONFIG, GRAPH, LIMITS, Files, tar_of
from workflows.causes import Code, Refused
from workflows.lines import Line
from workflows.shapes import Archive, SourceKind, Wish

HOST = "10.244.0.1"
"""Where pods reach this machine on the one-node cluster of CI."""
PYPROJECT = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"
[project]
name = "small"
version = "1"
dependencies = [{needs}]
[tool.setuptools]
py-modules = ["agent"]
"""


def a_project(
    config: Mapping[str, Any] | None = None, needs: str = "", **files: str
) -> dict[str, str | bytes]:
    """The smallest agent; the text in it makes each test's source its own."""
    return {
        "agent.py": GRAPH,
        "pyproject.toml": PYPROJECT.format(needs=needs),
        "langgraph.json": json.dumps({**CONFIG, **(config or {})}),
        **files,
    }


class Lender:
    """Sources and their one-use addresses, over HTTP; what `HttpSources` and `HttpLinks` are to a real API."""

    def __init__(self) -> None:
        self.archives: dict[UUID, bytes] = {}
        self.links: dict[str, UUID] = {}
        self.lent = 0
        self.answered: list[int] = []

    async def fetch(self, upload_id: UUID, to: Path) -> None:
        if upload_id not in self.archives:
            raise Refused(Code.SOURCE_MISSING, "no such upload")
        to.write_bytes(self.archives[upload_id])

    async def link(self, upload_id: UUID) -> str:
        self.lent += 1
        token = secrets.token_urlsafe(16)
        self.links[token] = upload_id
        return f"/links/{token}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        upload_id = self.links.pop(asked.rpartition("/")[2], None)
        body = self.archives[upload_id] if upload_id else b""
        status = 200 if upload_id else 404
        self.answered.append(status)
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        writer.close()


@dataclass
class Yard:
    """Images of one plane and what is asked of them."""

    cluster: Cluster
    site: Site
    lender: Lender
    keyring: Keyring
    lines: list[Line] = field(default_factory=list)
    deployment: UUID = field(default_factory=uuid4)

    def images(self, **more: Any) -> KubernetesImages:
        """The port, as a worker that has just started would have it."""
        settings: dict[str, Any] = {"limits": LIMITS, **more}
        return KubernetesImages(self.site, self.cluster, self.lender, self.lender, self.keep, **settings)

    async def keep(self, lines: Sequence[Line]) -> None:
        self.lines += lines

    def wish(self, number: int = 1, files: Files | None = None, **fields: Any) -> Wish:
        """A revision, from files if there are any."""
        archive = None
        if files is not None:
            data, upload = tar_of(files), uuid4()
            self.lender.archives[upload] = data
            archive = Archive(upload_id=upload, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        values: dict[str, Any] = {
            "deployment_id": self.deployment,
            "revision_id": uuid4(),
            "number": number,
            "name": "agent",
            "source": SourceKind.INTERNAL_SOURCE,
            "archive": archive,
            "environment": "",
            "credentials": "",
        }
        return Wish(**{**values, **fields})

    async def until_nothing_is_left(self, wish: Wish) -> None:
        """The Job is gone at once; what belongs to it follows."""
        assert await self.cluster.get(JOB, names.build(wish)) is None
        async with asyncio.timeout(60):
            while await self.cluster.all(POD) or await self.cluster.all(SECRET):
                await asyncio.sleep(0.2)

    @property
    def said(self) -> str:
        """The build log."""
        return "\n".join(line.message for line in self.lines)


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    keys = tmp_path / "sealing.keys"
    Keyring.create(keys)
    lender = Lender()
    server = await asyncio.start_server(lender.answer, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, namespaced("images") as cluster:
        # A repository of its own, so that nothing was built there before.
        registry = Registry(
            address=f"{REGISTRY}/{cluster.namespace}", api=f"http://{REGISTRY}", insecure=True
        )
        site = a_site(cluster.namespace, keys, registry=registry, builder_reaches=f"http://{HOST}:{port}")
        yield Yard(cluster, site, lender, Keyring.load(keys))
