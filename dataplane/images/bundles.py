"""Images of this machine: an archive becomes a bundle of source, packages and provenance.

The digest follows from the source, the lock, the server, the Python and the builder, and is known before
anything is installed; so what exists already is found, not built. Variables never become part of it.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dataplane.images import archive, failures, venv, whole
from dataplane.images import lock as locks
from dataplane.images.buildlog import BuildLog
from dataplane.images.bundle import RECORD, SOURCE, Provenance, Record, hexadecimal
from dataplane.images.fetched import HERE, archive_of, fetched
from dataplane.images.inflate import Halt, Limits
from dataplane.images.interpreters import Interpreter, Interpreters
from dataplane.images.lock import Lock
from dataplane.images.servers import PINNED, ServerPackages
from dataplane.images.store import Store
from dataplane.images.study import Study, study
from dataplane.images.threads import in_thread
from dataplane.images.uv import Uv, ambient
from dataplane.plane import Sources, Tell
from sealing import Keyring
from workflows.causes import Refused
from workflows.shapes import Flavour, Image, Plan, Wish

FORMAT = 1
"""Of bundles; a new one makes new digests, so that old bundles are never taken for new ones."""
NOISE = ("Using CPython", "Using Python", "Creating virtual", "Activate with")
"""What uv says about where things lie on this machine."""


class BundleImages:
    """`dataplane.plane.Images` by `uv`, in `home/images`."""

    def __init__(
        self,
        home: Path,
        sources: Sources,
        keyring: Keyring,
        limits: Limits,
        servers: Mapping[Flavour, ServerPackages] = PINNED,
        interpreters: Interpreters | None = None,
        grace: float = 3600,
    ) -> None:
        self._home = home.absolute()
        self._sources = sources
        self._keyring = keyring
        self._limits = limits
        self._servers = servers
        self._interpreters = interpreters or Interpreters()
        self._store = Store(self._home / "images", grace)
        self._uv = Uv(self._home / "data" / "uv-cache", ambient())
        self._builder = f"graphyard-{FORMAT} uv-{Uv.version()}"

    async def preflight(self, wish: Wish) -> Plan:
        """Refuse within seconds what cannot become an image."""
        if (record := self._made(wish)) is not None:
            made = record.provenance
            return Plan(source_digest=made.source_digest, python=made.python, graphs=list(record.graphs))
        log = BuildLog(self._home / "logs", wish)
        try:
            async with fetched(self._sources, archive_of(wish, HERE)) as file:
                found, interpreter = await self._study(file, wish)
        except Refused as refused:
            log.say(str(refused.cause), "ERROR")
            raise
        # Whoever sees that it is being built asks for its log.
        self._introduce(found, interpreter, wish, log)
        return Plan(
            source_digest=found.source_digest, python=str(interpreter), graphs=list(found.project.graphs)
        )

    async def build(self, wish: Wish, tell: Tell) -> Image:
        """The image of the wish: found, or built. What fails leaves nothing behind."""
        log = BuildLog(self._home / "logs", wish)

        def say(line: str) -> None:
            if not line.startswith(NOISE):
                log.say(line.rstrip())
            tell(line.strip()[:200])

        if (record := self._made(wish)) is not None:
            self._store.touch(record.digest)
            return self._image(record, True, wish.defaults)
        started = time.monotonic()
        try:
            await in_thread(lambda _: self._store.prepare())
            async with fetched(self._sources, archive_of(wish, HERE)) as file:
                found, interpreter = await self._study(file, wish)
                record, reused = await self._find_or_make(file, found, interpreter, wish, say)
        except Refused as refused:
            log.say(str(refused.cause), "ERROR")
            raise
        except OSError as error:
            if error.errno not in failures.NO_ROOM:
                raise
            log.say(str(failures.disk_full().cause), "ERROR")
            raise failures.disk_full() from error
        what = (
            "exists already; nothing was built" if reused else f"built in {time.monotonic() - started:.1f} s"
        )
        say(f"Image {record.digest}: {what}")
        values = found.variables.values
        defaults = self._keyring.seal_map(values, str(wish.deployment_id)) if values else None
        return self._image(record, reused, defaults)

    async def collect(self, keep: set[str]) -> int:
        """Remove the images that nobody may need; the number removed."""
        return await in_thread(lambda _: self._store.collect(keep))

    def _made(self, wish: Wish) -> Record | None:
        """The complete bundle that the wish names itself, if it does."""
        record = self._store.record(wish.image) if wish.image else None
        return record if record is not None and record.provenance.flavour == wish.flavour else None

    async def _study(self, file: BinaryIO, wish: Wish) -> tuple[Study, Interpreter]:
        server = self._servers[wish.flavour]
        found = await in_thread(lambda halt: study(file, archive_of(wish, HERE), server, self._limits, halt))
        interpreter = await self._interpreters.choose(found.project.python, found.declarations.needs)
        await in_thread(lambda _: found.check_names(interpreter.minor))
        return found, interpreter

    def _introduce(self, found: Study, interpreter: Interpreter, wish: Wish, log: BuildLog) -> None:
        server = self._servers[wish.flavour].name
        log.say(
            f"Revision {wish.number}: {len(found.tree.files)} files, "
            f"graphs {', '.join(found.project.graphs)}; Python {interpreter}, {server}, uv {Uv.version()}"
        )
        for remark in found.project.remarks:
            log.say(remark, "WARNING")
        for name in found.variables.left_out:
            log.say(f"env: {name} is left out: it is not the agent's to set")

    async def _find_or_make(
        self, file: BinaryIO, found: Study, interpreter: Interpreter, wish: Wish, say: Tell
    ) -> tuple[Record, bool]:
        with ExitStack() as stack:
            lock, source = await self._lock(file, found, interpreter, stack, say)
            made = Provenance(
                source_digest=found.source_digest,
                lock_digest=lock.digest,
                config_path=found.project.path,
                flavour=wish.flavour,
                python=str(interpreter),
                builder=self._builder,
                server=self._servers[wish.flavour].name,
            )
            digest = _digest(made)
            async with self._store.alone(hexadecimal(digest), lambda: say("Waiting for the same build")):
                if (record := self._store.record(digest)) is not None:
                    self._store.touch(digest)
                    return record, True
                record = Record(
                    digest=digest,
                    provenance=made,
                    graphs=dict(found.project.graphs),
                    variables=dict(found.told),
                    base=venv.base_name(lock, interpreter),
                    config=dict(found.project.raw),
                )
                return await self._make(file, source, found, lock, interpreter, record, say), False

    async def _lock(
        self, file: BinaryIO, found: Study, interpreter: Interpreter, stack: ExitStack, say: Tell
    ) -> tuple[Lock, Path | None]:
        """What the declarations resolve to, and the unpacked source if that had to be asked."""
        key = found.declarations.key(str(interpreter), self._builder, _machine())
        path = self._store.locks / f"{key}.txt"
        async with self._store.alone(f"lock-{key}", lambda: say("Waiting for the same resolution")):
            if (lock := locks.kept(path)) is not None:
                say("The dependencies were resolved before; their lock is kept")
                return lock, None
            scratch = stack.enter_context(self._store.staging())
            source = scratch / SOURCE
            await in_thread(lambda halt: self._unpack(file, source, found, halt))
            uv = self._uv.against(found.registry)
            try:
                lock = await locks.resolve(uv, found.declarations, interpreter, source, scratch, say)
            except BaseException:
                await in_thread(lambda _: shutil.rmtree(source, ignore_errors=True))
                raise
            locks.keep(path, lock)
            return lock, source

    async def _make(
        self,
        file: BinaryIO,
        source: Path | None,
        found: Study,
        lock: Lock,
        interpreter: Interpreter,
        record: Record,
        say: Tell,
    ) -> Record:
        """Build in the final place; complete is what has its marker, and the marker comes last."""
        place = self._store.place(record.digest)
        await in_thread(lambda _: shutil.rmtree(place, ignore_errors=True))
        try:
            await in_thread(lambda halt: self._begin(file, source, place, found, lock, halt))
            uv = self._uv.against(found.registry)
            workdir = place / SOURCE / PurePosixPath(found.project.base)
            await venv.install(uv, self._store, place, lock, found.declarations, interpreter, workdir, say)
            return await in_thread(lambda _: self._finish(place, record))
        except BaseException:
            await in_thread(lambda _: shutil.rmtree(place, ignore_errors=True))
            raise

    def _begin(
        self, file: BinaryIO, source: Path | None, place: Path, found: Study, lock: Lock, halt: Halt
    ) -> None:
        place.mkdir(mode=0o700)
        (place / "lock.txt").write_text(lock.text)
        if source is not None:
            source.rename(place / SOURCE)
        else:
            self._unpack(file, place / SOURCE, found, halt)

    def _unpack(self, file: BinaryIO, to: Path, found: Study, halt: Halt) -> None:
        to.mkdir(mode=0o755)
        archive.unpack(file, to, self._limits, halt, found.replaced)

    def _finish(self, place: Path, record: Record) -> Record:
        record.provenance.size = _size(place)
        record.provenance.created_at = datetime.now(UTC).isoformat(timespec="seconds")
        record.provenance.platform = _machine()
        with (place / RECORD).open("w") as file:
            file.write(record.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        whole.write(place)
        self._store.finish(place)
        return record

    def _image(self, record: Record, reused: bool, defaults: str | None) -> Image:
        made = record.provenance
        return Image(
            digest=record.digest,
            source_digest=made.source_digest,
            lock_digest=made.lock_digest,
            server=made.server,
            builder=made.builder,
            python=made.python,
            size=made.size,
            reused=reused,
            defaults=defaults,
            graphs=list(record.graphs),
        )


def _digest(made: Provenance) -> str:
    """The name of an image: what it is made of, in a fixed order."""
    parts = [
        made.source_digest,
        made.lock_digest,
        made.config_path,
        made.flavour,
        made.python,
        made.builder,
        made.server,
    ]
    return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _machine() -> str:
    """What wheels are chosen by, and nothing that changes from day to day."""
    return "-".join([sys.platform, platform.machine(), *platform.libc_ver()])


def _size(place: Path) -> int:
    """All its bytes, those included that it shares with others."""
    return sum(
        os.lstat(os.path.join(root, name)).st_size for root, _, names in os.walk(place) for name in names
    )
