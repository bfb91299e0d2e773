"""A home at one glance: what is there, what is not, what could not be looked at, in pages without a gap."""

import hashlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dataplane.images.bundle import COMPLETE, RECORD, Provenance, Record
from dataplane.images.whole import Bundles
from dataplane.local.supervisor import Supervisor
from dataplane.local.survey import EMPTY_BASE, PAGE, Survey, holds_data
from tests.dataplane.local.conftest import Daemon
from tests.dataplane.local.place import Place
from workflows import names
from workflows.drift import Difference, Fact, Field, compare
from workflows.shapes import Flavour, Resource, ResourceKind, SourceKind, Wish
from workflows.surveys import Seen, SurveyPage

STRAY = "import time; print('up', flush=True); time.sleep(100)"


def survey(place: Place) -> Survey:
    return Survey("local", place.home, place.supervisor, place.catalogue, Bundles(place.home))


async def pages(place: Place) -> list[SurveyPage]:
    return [page async for page in survey(place).pages()]


def wish(id_: UUID) -> Wish:
    """What was made by `Place.serve`."""
    return Wish(
        deployment_id=id_,
        revision_id=uuid4(),
        number=1,
        name="agent",
        source=SourceKind.INTERNAL_SOURCE,
        image=f"sha256:{names.short(id_) * 8}",
        environment="",
        credentials="",
    )


@pytest.fixture
def place(home: Path, supervisor: Supervisor) -> Place:
    return Place(home, supervisor)


@pytest.fixture
async def served(place: Place) -> UUID:
    """A deployment of which everything is as it should be."""
    id_ = uuid4()
    bundle = place.bundle(names.short(id_))
    made = Provenance(
        source_digest="s", lock_digest="l", config_path="langgraph.json", flavour=Flavour.PG, python="3.11",
        builder="b", server="s",
    )  # fmt: skip
    record = Record(digest=f"sha256:{bundle.name}", provenance=made, graphs={})
    (bundle / RECORD).write_text(record.model_dump_json())
    await place.serve(id_)
    name = names.database("agent", id_)
    place.catalogue.seen[names.short(id_)] = Seen(
        short=names.short(id_),
        facts=[
            Fact(field=Field.DATABASE, name=name, seen="present"),
            Fact(field=Field.ROLE, name=name, seen="present"),
        ],
        resources=[
            Resource(kind=ResourceKind.DATABASE, name=name, holds_data=True),
            Resource(kind=ResourceKind.ROLE, name=name),
        ],
    )
    return id_


async def differences(place: Place, id_: UUID) -> dict[Field, str]:
    """What comparing makes of a survey."""
    (page,) = await pages(place)
    seen = next((one for one in page.seen if one.short == names.short(id_)), Seen(short=names.short(id_)))
    found: list[Difference] = compare(wish(id_), seen.facts, frozenset(page.looked))
    return {one.field: one.seen for one in found}


async def test_what_is_as_it_should_be_does_not_differ(place: Place, served: UUID) -> None:
    assert await differences(place, served) == {}
    (page,) = await pages(place)
    (seen,) = page.seen
    assert (page.plane, page.first, page.end) == ("local", "", None)
    short, database = names.short(served), names.database("agent", served)
    assert {(one.kind, one.name, one.holds_data) for one in seen.resources} == {
        (ResourceKind.PROCESS, f"server-{short}-1-0", False),
        (ResourceKind.ROUTE, f"agent-{short}", False),
        (ResourceKind.REDIS, f"redis-{short}", False),
        (ResourceKind.DATABASE, database, True),
        (ResourceKind.ROLE, database, False),
    }


async def test_each_thing_that_is_gone_or_wrong_differs(place: Place, served: UUID) -> None:
    """One injury after the other, each seen beside the ones before."""
    short, home = names.short(served), place.home
    name, redis = names.server(served, 1, 0), names.redis(served)
    found: dict[Field, str] = {}

    async def adds(*fields: tuple[Field, str]) -> None:
        found.update(fields)
        assert await differences(place, served) == found

    (home / f"run/up/{short}.2").unlink()
    await adds((Field.LINK, "revision 1 in part"))
    place.slots.lead(short, names.slug("agent", served), 1, 1)
    (home / f"run/take/{short}-1").unlink()
    await adds((Field.LINK, "revision 1, but it may not take runs"))
    place.slots.lead(short, names.slug("agent", served), 1, 1)
    (home / f"run/take/{short}-7").touch()
    await adds((Field.LINK, "revision 1, but revision 7 may take runs"))
    (home / f"run/up/{short}.2").unlink()
    (home / f"run/up/{short}.2").symlink_to(f"../rev/{short}-2-0.sock")
    await adds((Field.LINK, "revisions 1 and 2 at once"))
    place.slots.lead(short, names.slug("agent", served), 2, 1)
    await adds((Field.LINK, "revision 2"))
    place.slots.close(short)
    (home / f"run/take/{short}-2").unlink()
    await adds((Field.LINK, "missing"), (Field.ROUTE, "missing"))
    (place.bundle(short) / COMPLETE).unlink()
    await adds((Field.BUNDLE, f"without {COMPLETE}"))
    shutil.rmtree(place.bundle(short))
    await adds((Field.BUNDLE, "missing"))
    (home / f"run/redis/{short}.sock").unlink()
    await adds((Field.REDIS, "without its socket"))
    await place.send(redis, signal.SIGSTOP)
    await adds((Field.REDIS, "suspended"))
    await place.send(redis, signal.SIGCONT)
    await place.send(name, signal.SIGSTOP)
    await adds((Field.REDIS, "without its socket"), (Field.PROCESS, "suspended"))
    await place.send(name, signal.SIGCONT)
    spec = home / "etc" / "specs" / f"{name}.json"
    spec.write_text(spec.read_text() + " ")
    found.pop(Field.PROCESS)
    await adds((Field.ENVIRONMENT, "its spec is not the one that was written"))
    (home / "etc" / "conf.d" / f"{name}.conf").unlink()
    await adds((Field.ENVIRONMENT, "its conf is missing"))
    await place.supervisor.stop([name])
    await adds((Field.PROCESS, "dead"))
    await place.supervisor.remove(redis)
    await adds((Field.REDIS, "missing"))
    await place.supervisor.remove(name)
    found.pop(Field.ENVIRONMENT)
    found.pop(Field.BUNDLE)
    await adds((Field.PROCESS, "missing"))
    del place.catalogue.seen[short]
    await adds((Field.DATABASE, "missing"), (Field.ROLE, "missing"))


async def test_another_image_is_told(place: Place, served: UUID) -> None:
    """Of the files; and of the process, where the launcher left word of what it started."""
    name, other = names.server(served, 1, 0), "f" * 64
    spec = place.home / "etc" / "specs" / f"{name}.json"
    spec.write_text(spec.read_text().replace(place.bundle(names.short(served)).name, other))
    found = await differences(place, served)
    assert found[Field.IMAGE] == f"sha256:{other}"
    note = place.home / "run" / "ran" / name
    note.parent.mkdir()
    python = str(place.bundle(names.short(served)) / "venv" / "bin" / "python")
    note.write_text(json.dumps({"pid": await place.pid(name), "python": python}))
    seen = (await differences(place, served))[Field.IMAGE]
    assert seen.startswith(f"sha256:{place.bundle(names.short(served)).name}, written down as sha256:ffff")


async def test_an_unwished_server_is_extra_and_one_without_supervisor_is_seen(
    place: Place, served: UUID
) -> None:
    short = names.short(served)
    socket = place.slots.socket(short, 5, 0)
    with subprocess.Popen(
        [sys.executable, "-c", STRAY], env={"GRAPHYARD_SOCKET": str(socket)}, stdout=subprocess.PIPE
    ) as stray:
        assert stray.stdout is not None
        stray.stdout.readline()
        assert await differences(place, served) == {Field.EXTRA: "unsupervised"}
        (page,) = await pages(place)
        names_ = [one.name for one in page.seen[0].resources if one.kind is ResourceKind.PROCESS]
        assert names_ == [f"server-{short}-1-0", f"server-{short}-5-0"]
        stray.kill()
    assert await differences(place, served) == {}


async def test_what_cannot_be_asked_is_not_looked_at(place: Place, served: UUID, daemon: Daemon) -> None:
    place.catalogue.away = True
    (page,) = await pages(place)
    assert not {Field.DATABASE, Field.ROLE} & {*page.looked}
    assert Field.PROCESS in page.looked
    assert await differences(place, served) == {}
    place.catalogue.away = False
    daemon.kill()
    (page,) = await pages(place)
    assert not {Field.PROCESS, Field.REDIS} & {*page.looked}
    assert Field.DATABASE in page.looked
    assert await differences(place, served) == {}


async def test_remains_of_nobody_are_listed(place: Place) -> None:
    """Whatever is left of a deployment, one thing at a time."""
    home = place.home
    (home / "run" / "take" / "0000000a-3").touch()
    (home / "run" / "up" / "0000000b.1").symlink_to("../rev/nowhere.sock")
    (home / "run" / "up" / "my-agent-0000000c.on").touch()
    (home / "run" / "redis" / "0000000d.sock").touch()
    (home / "data" / "redis" / "0000000e").mkdir(parents=True)
    (home / "etc" / "specs" / "server-0000000f-2-1.json").write_text("{")
    (home / "etc" / "conf.d" / "caddy.conf").write_text("")
    (home / "run" / "up" / "strange").touch()
    (home / "data" / "redis" / "strange").mkdir()
    # A socket whose process died is nothing that anybody would miss or mind.
    (home / "run" / "rev" / "00000010-1-0.sock").touch()
    place.catalogue.seen["00000011"] = Seen(
        short="00000011",
        resources=[Resource(kind=ResourceKind.DATABASE, name="gy_x_00000011", holds_data=True)],
    )
    (page,) = await pages(place)
    assert [(one.short, one.resources[0].kind, one.resources[0].name) for one in page.seen] == [
        ("0000000a", ResourceKind.ROUTE, "0000000a"),
        ("0000000b", ResourceKind.ROUTE, "0000000b"),
        ("0000000c", ResourceKind.ROUTE, "my-agent-0000000c"),
        ("0000000d", ResourceKind.REDIS, "redis-0000000d"),
        ("0000000e", ResourceKind.REDIS, "redis-0000000e"),
        ("0000000f", ResourceKind.PROCESS, "server-0000000f-2-1"),
        ("00000011", ResourceKind.DATABASE, "gy_x_00000011"),
    ]


@pytest.mark.parametrize(
    ("file", "size", "holds"),
    [
        ("valkey.conf", 300, False),
        ("appendonlydir/appendonly.aof.manifest", 90, False),
        ("appendonlydir/appendonly.aof.1.incr.aof", 0, False),
        ("appendonlydir/appendonly.aof.1.incr.aof", 1, True),
        ("appendonlydir/appendonly.aof.1.base.rdb", EMPTY_BASE, False),
        ("appendonlydir/appendonly.aof.1.base.rdb", EMPTY_BASE + 1, True),
        ("dump.rdb", 10, True),
        ("kept-1/appendonly.aof.1.incr.aof", 10, True),
    ],
)
def test_a_valkey_holds_data_or_not(tmp_path: Path, file: str, size: int, holds: bool) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"x" * size)
    assert holds_data(tmp_path) is holds


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE + 3])
async def test_pages_leave_no_range_out(home: Path, count: int) -> None:
    place = Place(home, Supervisor(home))
    shorts = sorted(hashlib.sha256(str(one).encode()).hexdigest()[:8] for one in range(count))
    for short in shorts:
        (home / "run" / "take" / f"{short}-1").touch()
    told = await pages(place)
    assert len(told) == max(1, -(-count // PAGE))
    assert told[0].first == ""
    assert told[-1].end is None
    for before, after in itertools.pairwise(told):
        assert before.end == after.first
    for page in told:
        assert len(page.seen) <= PAGE
        assert all(
            page.first <= one.short and (page.end is None or one.short < page.end) for one in page.seen
        )
    assert [one.short for page in told for one in page.seen] == shorts
