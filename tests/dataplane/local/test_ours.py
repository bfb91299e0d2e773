"""Marks of our own doing: nested, at once, of several processes, of dead ones, and for a moment after."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dataplane.local.ours import DONE, KEPT, SETTLE, Ours
from workflows import names

HOLDER = """
import sys, time
from pathlib import Path
from uuid import UUID
from dataplane.local.ours import Ours
with Ours(Path(sys.argv[1])).during(UUID(sys.argv[2])):
    print("in", flush=True)
    sys.stdin.readline()
"""


def holder(home: Path, id_: UUID) -> "subprocess.Popen[str]":
    """Another process that is at work on the deployment until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home), str(id_)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_nothing_is_ours_where_nothing_was_done(tmp_path: Path) -> None:
    assert not Ours(tmp_path).look().covers(uuid4(), 0, time.time())


def test_what_changed_before_during_and_after(tmp_path: Path) -> None:
    ours, one, other = Ours(tmp_path), uuid4(), uuid4()
    began = time.time()
    with ours.during(one):
        doing = Ours(tmp_path).look()
        assert doing.covers(one, time.time(), time.time())
        assert doing.covers(one, 0, time.time())
        assert not doing.covers(one, 0, began - 0.1)
        assert not doing.covers(other, 0, time.time())
    ended = time.time()
    doing = Ours(tmp_path).look()
    assert doing.covers(one, ended, ended)
    assert doing.covers(one, ended + SETTLE / 2, ended + 10)
    assert not doing.covers(one, ended + SETTLE * 2, ended + 10)
    assert not doing.covers(one, began - 10, began - 0.1)


def test_nested_and_at_once(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    later = time.time() + 100
    with ours.during(id_):
        with ours.during(id_), Ours(tmp_path).during(id_):
            pass
        assert ours.look().covers(id_, later, later)
    assert not ours.look().covers(id_, later, later)


def test_an_error_ends_a_mark(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    with pytest.raises(RuntimeError), ours.during(id_):
        raise RuntimeError
    assert not ours.look().covers(id_, time.time() + 100, time.time() + 100)


def test_another_process_counts_until_it_ends(tmp_path: Path) -> None:
    id_, later = uuid4(), time.time() + 100
    process = holder(tmp_path, id_)
    assert Ours(tmp_path).look().covers(id_, later, later)
    told = time.time()
    process.communicate("\n")
    doing = Ours(tmp_path).look()
    assert not doing.covers(id_, later, later)
    assert doing.covers(id_, told, time.time())


def test_a_dead_process_does_not_count_and_is_cleaned_away(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    process = holder(tmp_path, id_)
    assert ours.look().covers(id_, time.time(), time.time())
    process.kill()
    process.communicate()
    assert ours.look().spans == {}
    assert list((tmp_path / "run" / "ours").iterdir()) == []


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    (tmp_path / "run" / "ours").mkdir(parents=True)
    (tmp_path / "run" / "ours" / f"{names.short(id_)}.x").write_text(f"{id_} {os.getpid()} 1 0")
    assert ours.look().spans == {}


def test_ended_marks_name_nobody_and_go_after_a_while(tmp_path: Path) -> None:
    ours, id_, place = Ours(tmp_path), uuid4(), tmp_path / "run" / "ours"
    with ours.during(id_):
        assert len(list(place.glob(f"{names.short(id_)}*"))) == 1
    assert list(tmp_path.rglob(f"*{names.short(id_)}*")) == []
    (one,) = place.iterdir()
    one.rename(place / f"{DONE}1.1.{time.time_ns() - int((KEPT + 1) * 1e9)}")
    with ours.during(id_):
        assert [path.name for path in place.iterdir() if path.name.startswith(DONE)] == []


def test_what_is_not_a_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run" / "ours").mkdir(parents=True)
    (tmp_path / "run" / "ours" / "0a1b2c3d.x").write_text("nothing of ours")
    assert Ours(tmp_path).look().spans == {}
