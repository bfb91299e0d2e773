"""Sources made in memory, a home for their images, and a server small enough to install in every test."""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dataplane.images.bundle import Bundle
from dataplane.images.bundles import BundleImages
from dataplane.images.inflate import Limits
from dataplane.images.interpreters import Interpreters
from dataplane.images.servers import ServerPackages
from sealing import Keyring
from workflows.causes import Code, Refused
from workflows.shapes import Archive, Flavour, Image, SourceKind, Wish

SMALL = {
    flavour: ServerPackages(flavour, version, ("idna==3.10",))
    for flavour, version in ((Flavour.PG, "0.11.1"), (Flavour.INMEM, "0.16.7"))
}
LIMITS = Limits(packed=4 << 20, unpacked=64 << 20, files=300, ratio=200)
GRAPH = "def graph():\n    return None\n"
CONFIG = {"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}}
PYPROJECT = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1"
{more}
[tool.setuptools]
py-modules = ["{name}"]
"""

Files = Mapping[str, str | bytes]


def tar_of(files: Files) -> bytes:
    """A gzip tar as the `langgraph` command makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def project_of(config: Mapping[str, Any] | None = None, **files: str | bytes) -> dict[str, str | bytes]:
    """The files of a small agent; `files` replaces or adds, by names with `__` for `/`."""
    whole: dict[str, str | bytes] = {
        "agent.py": GRAPH,
        "langgraph.json": json.dumps({**CONFIG, **(config or {})}),
    }
    return whole | files


class Box:
    """Uploads, kept in memory."""

    def __init__(self) -> None:
        self.archives: dict[UUID, bytes] = {}
        self.fetched = 0

    async def fetch(self, upload_id: UUID, to: Path) -> None:
        self.fetched += 1
        if upload_id not in self.archives:
            raise Refused(Code.SOURCE_MISSING, "no such upload")
        to.write_bytes(self.archives[upload_id])


@dataclass
class Yard:
    """A home and what is asked of it."""

    home: Path
    box: Box
    keyring: Keyring
    images: BundleImages
    deployment: UUID = field(default_factory=uuid4)
    number: int = 0

    def wish(
        self,
        source: Files | bytes | None = None,
        *,
        config_path: str = "langgraph.json",
        flavour: Flavour = Flavour.PG,
        image: str | None = None,
        **archive: Any,
    ) -> Wish:
        """The next revision of the deployment, from files or from a raw archive."""
        self.number += 1
        sent = None
        if source is not None:
            data = source if isinstance(source, bytes) else tar_of(source)
            upload = uuid4()
            self.box.archives[upload] = data
            sent = Archive(
                upload_id=upload,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
                config_path=config_path,
                **archive,
            )
        return Wish(
            deployment_id=self.deployment,
            revision_id=uuid4(),
            number=self.number,
            name="agent",
            source=SourceKind.INTERNAL_SOURCE,
            archive=sent,
            image=image,
            flavour=flavour,
            environment="",
            credentials="",
        )

    async def build(self, source: Files | bytes | None = None, **more: Any) -> Image:
        return await self.images.build(self.wish(source, **more), lambda _: None)

    def bundle(self, image: Image) -> Bundle:
        return Bundle.load(self.home, image.digest)

    def log(self, number: int | None = None) -> list[dict[str, str]]:
        """The build log of a revision, the last one by default."""
        path = self.home / "logs" / "build" / self.deployment.hex[:8] / f"{number or self.number}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def bundles(self) -> list[Path]:
        """Whatever lies in `images/` under a digest's name, complete or not."""
        found = (self.home / "images").glob("*")
        return [path for path in found if len(path.name) == 64]

    def left(self) -> list[Path]:
        """All files of the home that a refusal might have left behind, its log aside."""
        return [
            path
            for path in self.home.rglob("*")
            if not path.is_dir() and "logs" not in path.parts and path.name != "keys"
        ]


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="gy"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def interpreters() -> Interpreters:
    """What this machine has, looked up once."""
    return Interpreters()


@pytest.fixture
def make_yard(home: Path, interpreters: Interpreters) -> Callable[..., Yard]:
    def make(**more: Any) -> Yard:
        Keyring.create(home / "keys")
        keyring, box = Keyring.load(home / "keys"), Box()
        settings: dict[str, Any] = {"limits": LIMITS, "servers": SMALL, "interpreters": interpreters}
        return Yard(home, box, keyring, BundleImages(home, box, keyring, **(settings | more)))

    return make


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard()


@pytest.fixture
def pack() -> Callable[[Files], bytes]:
    return tar_of


@pytest.fixture
def project() -> Callable[..., dict[str, str | bytes]]:
    return project_of


@pytest.fixture
def pyproject() -> Callable[..., str]:
    return lambda more="", name="agent": PYPROJECT.format(more=more, name=name)
