"""Whatever somebody does to a deployment is noticed within a few looks; what we do ourselves never is."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dataplane.images.bundle import COMPLETE, RECORD, SOURCE, VENV
from dataplane.local.flapping import FREE, MOST, Flapping
from dataplane.local.ours import SETTLE
from dataplane.local.supervisor import Supervisor
from dataplane.local.watch import Watch
from tests.dataplane.local.conftest import Daemon
from tests.dataplane.local.place import PACKAGE, Place
from workflows import names

SOON = 15
"""Looks within which every change shows; a worker's are half a second apart."""
ASKED = {"a server that hangs": 80, "a Valkey that does not answer": 50}
"""Those that have to be asked are asked every two seconds, and have two seconds to answer."""


class Notices:
    """What a watch tells, as it tells it."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.told: list[UUID] = []
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with contextlib.aclosing(self.watch.changes()) as changes:
            async for changed in changes:
                async with self._news:
                    self.told += changed
                    self._news.notify_all()

    async def of(self, id_: UUID, times: int = 1) -> None:
        """Until the deployment was told of so many times."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.told.count(id_) >= times)

    async def rounds(self, count: int) -> None:
        """Until the watch has looked so many times more."""
        end = self.watch.rounds + count
        async with asyncio.timeout(20):
            while self.watch.rounds < end:
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
def place(home: Path, supervisor: Supervisor) -> Place:
    return Place(home, supervisor)


@pytest.fixture
async def notices(place: Place) -> AsyncIterator[Notices]:
    notices = Notices(place.watch())
    yield notices
    await notices.close()


Injury = Callable[[Place, UUID], Awaitable[None]]


async def killed(place: Place, id_: UUID) -> None:
    await place.send(names.server(id_, 1, 0), signal.SIGKILL)


async def suspended(place: Place, id_: UUID) -> None:
    await place.send(names.server(id_, 1, 0), signal.SIGSTOP)


async def stopped(place: Place, id_: UUID) -> None:
    await place.supervisor.stop([names.server(id_, 1, 0)])


async def valkey_killed(place: Place, id_: UUID) -> None:
    await place.send(names.redis(id_), signal.SIGKILL)


async def valkey_suspended(place: Place, id_: UUID) -> None:
    await place.send(names.redis(id_), signal.SIGSTOP)


def file(change: Callable[[Path, str], object]) -> Injury:
    async def injury(place: Place, id_: UUID) -> None:
        change(place.home, names.short(id_))

    return injury


def bundle(change: Callable[[Path], object]) -> Injury:
    async def injury(place: Place, id_: UUID) -> None:
        change(place.bundle(names.short(id_)))

    return injury


async def program_gone(place: Place, id_: UUID) -> None:
    await place.supervisor.remove(names.server(id_, 1, 0))


async def valkey_gone(place: Place, id_: UUID) -> None:
    await place.supervisor.remove(names.redis(id_))


async def program_added(place: Place, id_: UUID) -> None:
    await place.supervisor.put(place.program(id_, 7))


async def role_altered(place: Place, id_: UUID) -> None:
    place.catalogue.told[names.short(id_)] = "another role"


async def database_dropped(place: Place, id_: UUID) -> None:
    del place.catalogue.told[names.short(id_)]


async def hanging(place: Place, id_: UUID) -> None:
    (place.home / f"hang-{names.server(id_, 1, 0)}").touch()


async def valkey_silent(place: Place, id_: UUID) -> None:
    place.valkeys.told[names.short(id_)] = "silent"


INJURIES: dict[str, Injury] = {
    "a server killed": killed,
    "a server suspended": suspended,
    "a server stopped": stopped,
    "a server removed": program_gone,
    "a server added": program_added,
    "a Valkey killed": valkey_killed,
    "a Valkey suspended": valkey_suspended,
    "a Valkey removed": valkey_gone,
    "a conf gone": file(lambda home, s: (home / f"etc/conf.d/server-{s}-1-0.conf").unlink()),
    "a conf edited": file(lambda home, s: append(home / f"etc/conf.d/server-{s}-1-0.conf", "priority=1\n")),
    "a spec gone": file(lambda home, s: (home / f"etc/specs/server-{s}-1-0.json").unlink()),
    "a spec edited": file(lambda home, s: (home / f"etc/specs/server-{s}-1-0.json").write_text("{}")),
    "a spec open to all": file(lambda home, s: (home / f"etc/specs/server-{s}-1-0.json").chmod(0o644)),
    "a link gone": file(lambda home, s: (home / f"run/up/{s}.2").unlink()),
    "a link elsewhere": file(lambda home, s: relinked(home / f"run/up/{s}.0", "../rev/no.sock")),
    "a route gone": file(lambda home, s: (home / f"run/up/agent-{s}.on").unlink()),
    "a marker gone": file(lambda home, s: (home / f"run/take/{s}-1").unlink()),
    "a marker added": file(lambda home, s: (home / f"run/take/{s}-7").touch()),
    "a socket gone": file(lambda home, s: (home / f"run/rev/{s}-1-0.sock").unlink()),
    "a socket closed to us": file(lambda home, s: (home / f"run/rev/{s}-1-0.sock").chmod(0)),
    "a Valkey's socket gone": file(lambda home, s: (home / f"run/redis/{s}.sock").unlink()),
    "a Valkey's data gone": file(lambda home, s: shutil.rmtree(home / f"data/redis/{s}")),
    "a Valkey's data closed": file(lambda home, s: (home / f"data/redis/{s}").chmod(0o500)),
    "a Valkey's log gone": file(lambda home, s: shutil.rmtree(home / f"data/redis/{s}/appendonlydir")),
    "a Valkey's conf edited": file(lambda home, s: append(home / f"data/redis/{s}/valkey.conf", "save 1 1")),
    "a bundle gone": bundle(shutil.rmtree),
    "a bundle without marker": bundle(lambda place: (place / COMPLETE).unlink()),
    "a bundle without record": bundle(lambda place: (place / RECORD).unlink()),
    "a bundle without python": bundle(lambda place: (place / VENV / "bin" / "python").unlink()),
    "a package gone": bundle(lambda place: (place / PACKAGE).rmdir()),
    "a source edited": bundle(lambda place: append(place / SOURCE / "agent.py", "pass")),
    "a role altered": role_altered,
    "a database dropped": database_dropped,
    "a server that hangs": hanging,
    "a Valkey that does not answer": valkey_silent,
}


ALIVE = (
    "a server killed", "a server suspended", "a server stopped", "a server removed", "a server that hangs",
    "a Valkey killed", "a Valkey suspended", "a Valkey removed", "a Valkey that does not answer",
)  # fmt: skip
"""Those for which something has to run; the others need but files, and time is short."""


def relinked(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


async def test_every_change_is_noticed_and_only_of_the_one_that_changed(
    place: Place, notices: Notices, daemon: Daemon
) -> None:
    """One deployment for each injury; those that were not hurt yet are never told of."""
    ids = {injury: uuid4() for injury in INJURIES}
    await place.serve(*(ids[injury] for injury in ALIVE))
    place.lay(*(ids[injury] for injury in INJURIES if injury not in ALIVE))
    await asyncio.sleep(SETTLE)
    # Until a replica has answered once, its silence says nothing.
    await notices.rounds(20)
    assert notices.told == []
    looks: dict[str, int] = {}
    for injury, inflict in INJURIES.items():
        began = notices.watch.rounds
        await inflict(place, ids[injury])
        await notices.of(ids[injury])
        looks[injury] = notices.watch.rounds - began
        others = set(list(ids.values())[list(INJURIES).index(injury) + 1 :])
        assert not others & set(notices.told), injury
    slow = {injury: count for injury, count in looks.items() if count > ASKED.get(injury, SOON)}
    assert not slow
    # With so many programs a clean end would take half a minute.
    daemon.kill()


async def test_our_own_doing_is_never_told(place: Place, notices: Notices) -> None:
    """Two rollouts and a removal beside the injury that ends the wait."""
    ours, other = uuid4(), uuid4()
    await place.serve(ours, other)
    for number in (2, 3):
        await place.serve(ours, number=number)
        await notices.rounds(3)
    await asyncio.sleep(SETTLE)
    await notices.rounds(10)
    with place.ours.during(ours):
        short = names.short(ours)
        place.slots.close(short)
        await place.supervisor.remove(names.server(ours, 3, 0), names.redis(ours))
        place.slots.forget(short, 3)
        shutil.rmtree(place.home / "data" / "redis" / short)
        (place.home / "run" / "redis" / f"{short}.sock").unlink()
        del place.catalogue.told[short]
        await notices.rounds(3)
    await asyncio.sleep(SETTLE)
    await notices.rounds(10)
    await killed(place, other)
    await notices.of(other)
    assert ours not in notices.told


async def test_what_others_do_meanwhile_is_told_all_the_same(place: Place, notices: Notices) -> None:
    """A process that was born, or a file that was changed, before we began is not our doing."""
    id_ = uuid4()
    await place.serve(id_)
    relinked(place.home / f"run/up/{names.short(id_)}.0", "../rev/no.sock")
    await asyncio.sleep(0.06)
    with place.ours.during(id_):
        await notices.of(id_)


async def test_a_hanging_replica_is_told_of_once_we_are_done(place: Place, notices: Notices) -> None:
    id_ = uuid4()
    await place.serve(id_)
    await notices.rounds(30)
    with place.ours.during(id_):
        await hanging(place, id_)
        await notices.rounds(50)
        assert notices.told == []
    await notices.of(id_)


async def test_after_a_restart_comes_first_what_happened_meanwhile(place: Place) -> None:
    kept, gone, changed = uuid4(), uuid4(), uuid4()
    await place.serve(kept, gone, changed)
    first = Notices(place.watch())
    await first.rounds(3)
    await killed(place, kept)
    await first.of(kept)
    await first.rounds(15)
    seen = len(first.told)
    await first.close()
    assert set(first.told[:seen]) == {kept}
    await killed(place, changed)
    for file in place.home.rglob(f"*{names.short(gone)}*.json"):
        file.unlink()
    again = Notices(place.watch())
    await again.of(changed)
    await again.of(gone)
    assert again.watch.rounds <= 2
    assert kept not in again.told
    await again.close()


async def test_what_was_not_taken_is_told_again(place: Place) -> None:
    """A worker that dies between hearing of a change and telling of it hears of it once more."""
    id_ = uuid4()
    await place.serve(id_)
    first = Notices(place.watch())
    await first.rounds(12)
    await first.close()
    await killed(place, id_)
    for _ in range(2):
        async with contextlib.aclosing(place.watch().changes()) as changes:
            async with asyncio.timeout(10):
                assert await anext(changes) == {id_}


async def test_a_supervisor_or_a_postgres_that_is_away_is_no_difference(
    place: Place, notices: Notices, daemon: Daemon
) -> None:
    """Nobody is told of while they are away; afterwards, those who changed by it."""
    one, other = uuid4(), uuid4()
    await place.serve(one, other)
    place.catalogue.away = True
    await notices.rounds(5)
    place.catalogue.away = False
    await notices.rounds(5)
    assert notices.told == []
    place.catalogue.away = True
    del place.catalogue.told[names.short(one)]
    await notices.rounds(5)
    assert notices.told == []
    place.catalogue.away = False
    await notices.of(one)
    assert other not in notices.told
    daemon.kill()
    await notices.rounds(10)
    assert other not in notices.told
    await daemon.start()
    await notices.of(other)


async def test_a_dead_supervisor_says_nothing_and_the_watch_goes_on(home: Path) -> None:
    """Where nobody answers at all there are signs of life."""
    place = Place(home, Supervisor(home))
    place.catalogue.away = True
    async with contextlib.aclosing(place.watch().changes()) as changes, asyncio.timeout(10):
        assert await anext(changes) == set()


async def test_what_keeps_changing_is_told_rarely_and_its_last_state_always(
    place: Place, notices: Notices
) -> None:
    id_ = uuid4()
    await place.serve(id_)
    link = place.home / f"run/up/{names.short(id_)}.1"
    changes = 0
    async with asyncio.timeout(30):
        while len(notices.told) < 2:
            relinked(link, f"../rev/{changes}.sock")
            changes += 1
            await notices.rounds(2)
    assert changes > 2 * len(notices.told)
    relinked(link, "../rev/last.sock")
    told = len(notices.told)
    await notices.of(id_, told + 1)
    await notices.rounds(15)
    assert len(notices.told) == told + 1


async def test_its_memory_is_private_and_without_secrets(place: Place, notices: Notices) -> None:
    id_ = uuid4()
    await place.serve(id_)
    file = place.home / "run" / "watched.json"
    async with asyncio.timeout(20):
        while not file.exists() or str(id_) not in file.read_text():
            await notices.rounds(1)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "marker-secret" not in file.read_text()
    before = file.stat().st_mtime_ns
    await asyncio.sleep(SETTLE)
    await notices.rounds(25)
    settled = file.stat().st_mtime_ns
    await notices.rounds(15)
    assert before <= settled == file.stat().st_mtime_ns


@pytest.mark.parametrize(
    "said", ["", "{", "[]", '{"format": 1}', '{"format": 1, "owners": ["x"], "known": {}}']
)
async def test_a_memory_that_cannot_be_read_is_none(place: Place, said: str) -> None:
    (place.home / "run" / "watched.json").write_text(said)
    async with contextlib.aclosing(place.watch().changes()) as changes, asyncio.timeout(10):
        assert await anext(changes) == set()


def test_flapping() -> None:
    """A second, five times; then twice as long each time up to a minute; anew after quiet."""
    now = 0.0
    flapping = Flapping(lambda: now)
    pauses = []
    for _ in range(14):
        before = now
        while not flapping.may("0a1b2c3d"):
            now += 0.25
        pauses.append(now - before)
        flapping.told("0a1b2c3d")
        assert flapping.may("ffffffff")
    assert pauses == [0.0, *[1.0] * FREE, 2.0, 4.0, 8.0, 16.0, 32.0, MOST, MOST, MOST]
    now += 3 * MOST
    flapping.told("0a1b2c3d")
    now += 1
    assert flapping.may("0a1b2c3d")
