"""A whole local plane for tests: supervisord, Caddy, Valkeys, the session's Postgres, an image built once.

Other images are variants of it: the same packages with other sources, made by hand in milliseconds.
"""

import asyncio
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from dataplane.images.bundles import BundleImages
from dataplane.images.inflate import Limits
from dataplane.local.gateway import configuration
from dataplane.local.plane import local_plane
from dataplane.local.programs import Program
from dataplane.local.supervisor import Supervisor
from dataplane.plane import Plane
from sealing import Keyring
from workflows import names
from workflows.shapes import Archive, Flavour, SourceKind, Wish

EXAMPLE = Path(__file__).parents[3] / "examples" / "echo-agent"
PROGRESS, DRAIN = 90.0, 4.0


class Box:
    """Uploads, kept in memory."""

    def __init__(self) -> None:
        self.archives: dict[UUID, bytes] = {}

    async def fetch(self, upload_id: UUID, to: Path) -> None:
        to.write_bytes(self.archives[upload_id])


class Yard:
    """One plane and what it takes to ask things of it."""

    def __init__(self, home: Path, postgres_admin: str) -> None:
        self.home = home
        self.keys = home / "secrets" / "sealing.keys"
        Keyring.create(self.keys)
        self.ring = Keyring.load(self.keys)
        self.box = Box()
        self.supervisor = Supervisor(home)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        limits = Limits(packed=4 << 20, unpacked=64 << 20, files=300, ratio=200)
        self._images = BundleImages(home, self.box, self.ring, limits)
        self.postgres_admin = postgres_admin
        self.plane = self.another()
        self.image = ""

    def another(
        self,
        progress_seconds: float = PROGRESS,
        drain_seconds: float = DRAIN,
        stuck_seconds: float = 60,
    ) -> Plane:
        """The same plane as another worker would hold it."""
        return local_plane(
            name="local",
            home=self.home,
            keys=self.keys,
            postgres_admin=self.postgres_admin,
            public_url=self.url,
            images=self._images,
            progress_seconds=progress_seconds,
            drain_seconds=drain_seconds,
            stuck_seconds=stuck_seconds,
        )

    async def open(self) -> None:
        """Start the gateway and build the example."""
        config = self.home / "etc" / "caddy.json"
        config.write_text(configuration(self.home, self.url.removeprefix("http://")))
        argv = (str(Path(sys.executable).parent / "caddy"), "run", "--config", str(config))
        env = {"HOME": str(self.home / "data"), "PATH": os.defpath}
        await self.supervisor.put(Program("caddy", argv, self.home, self.home / "logs" / "caddy.log", env))
        self.image = await self.built(EXAMPLE)

    async def built(self, project: Path, flavour: Flavour = Flavour.PG) -> str:
        """The image of a directory."""
        wish = self.wish(uuid4(), archive=self.uploaded(project), image=None, flavour=flavour)
        return (await self.plane.images.build(wish, lambda said: None)).digest

    def uploaded(self, project: Path) -> Archive:
        """A directory, packed and uploaded."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path in sorted(project.iterdir()):
                if path.is_file():
                    tar.add(path, path.name)
        raw, upload = buffer.getvalue(), uuid4()
        self.box.archives[upload] = raw
        return Archive(upload_id=upload, sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))

    def variant(
        self, files: Mapping[str, str], graphs: Mapping[str, str], variables: Mapping[str, Any] | None = None
    ) -> str:
        """An image with the example's packages and these sources; `graphs` as in langgraph.json."""
        said = json.dumps([dict(files), dict(graphs), dict(variables or {})])
        digest = hashlib.sha256(said.encode()).hexdigest()
        images = self.home / "images"
        model, place = images / self.image.removeprefix("sha256:"), images / digest
        if place.exists():
            return f"sha256:{digest}"
        (place / "source").mkdir(parents=True)
        (place / "venv").symlink_to(model / "venv")
        for name, text in files.items():
            (place / "source" / name).write_text(text)
        record = json.loads((model / "bundle.json").read_text())
        record |= {"digest": f"sha256:{digest}", "variables": dict(variables or {})}
        record["graphs"] = {
            name: {"target": spec.split(":")[0], "attribute": spec.split(":")[1]}
            for name, spec in graphs.items()
        }
        (place / "bundle.json").write_text(json.dumps(record))
        (place / ".complete").touch()
        return f"sha256:{digest}"

    def wish(
        self, id_: UUID, number: int = 1, environment: Mapping[str, str] | None = None, **changes: Any
    ) -> Wish:
        """One revision of a deployment; its passwords follow from the id."""
        owner = str(id_)
        credentials = {"postgres": f"Pg-{id_.hex}", "redis": f"Re-{id_.hex}"}
        wish = Wish(
            deployment_id=id_,
            revision_id=UUID(int=id_.int ^ number),
            number=number,
            name="agent",
            source=SourceKind.INTERNAL_SOURCE,
            image=self.image or None,
            environment=self.ring.seal_map(dict(environment or {}), owner),
            credentials=self.ring.seal_map(credentials, owner),
        )
        return wish.model_copy(update=changes)

    async def roll(self, wish: Wish) -> None:
        """Everything a rollout does after the build, up to the retirement of what was before."""
        await self.plane.databases.provision(wish)
        await self.plane.servers.apply(wish)
        await self.plane.servers.until_ready(wish, lambda said: None)
        await self.plane.servers.prove(wish)
        await self.plane.servers.switch(wish)
        await self.plane.servers.retire(wish, lambda said: None)

    async def clear(self, id_: UUID) -> None:
        """Take a deployment away."""
        await self.plane.servers.remove(self.wish(id_, 999))
        await self.plane.databases.remove(self.wish(id_, 999))

    def address(self, id_: UUID) -> str:
        return f"{self.url}/d/{names.slug('agent', id_)}"


def supervised(home: Path, config: str) -> Iterator[None]:
    """A home with supervisord in it, for as long as the generator lives."""
    for part in ("etc/conf.d", "etc/specs", "run", "logs", "data", "secrets", "images"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "etc" / "supervisord.conf").write_text(config.format(home=home))
    argv = [sys.executable, "-P", "-m", "supervisor.supervisord", "-n", "-c", f"{home}/etc/supervisord.conf"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def opened(yard: Yard) -> None:
    """Open a yard from where no loop runs."""

    async def open_it() -> None:
        while not await yard.supervisor.alive():
            await asyncio.sleep(0.02)
        await yard.open()

    with asyncio.Runner() as runner:
        runner.run(open_it())
