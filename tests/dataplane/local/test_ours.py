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
    doing = Ours(tmp_path).look()
    assert not doing.since(uuid4(), 0)
    assert doing.known == set()


def test_what_is_done_now_and_what_was_a_moment_ago(tmp_path: Path) -> None:
    ours, one, other = Ours(tmp_path), uuid4(), uuid4()
    with ours.during(one):
        assert Ours(tmp_path).look().since(one, time.time() + 1000)
        assert not ours.look().since(other, 0)
    ended = time.time()
    doing = Ours(tmp_path).look()
    assert doing.since(one, ended - 0.2)
    assert doing.since(one, ended + SETTLE / 2)
    assert not doing.since(one, ended + SETTLE * 2)
    assert doing.known == {one}


def test_nested_and_at_once(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    with ours.during(id_):
        with ours.during(id_), Ours(tmp_path).during(id_):
            pass
        assert id_ in ours.look().now
    assert id_ not in ours.look().now


def test_an_error_ends_a_mark(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    with pytest.raises(RuntimeError), ours.during(id_):
        raise RuntimeError
    assert ours.look().now == frozenset()


def test_another_process_counts_until_it_ends(tmp_path: Path) -> None:
    id_ = uuid4()
    process = holder(tmp_path, id_)
    assert id_ in Ours(tmp_path).look().now
    process.communicate("\n")
    doing = Ours(tmp_path).look()
    assert id_ not in doing.now
    assert id_ in doing.ended


def test_a_dead_process_does_not_count_and_is_cleaned_away(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    process = holder(tmp_path, id_)
    assert id_ in ours.look().now
    process.kill()
    process.communicate()
    assert not ours.look().since(id_, 0)
    assert list((tmp_path / "run" / "ours").iterdir()) == []


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    ours, id_ = Ours(tmp_path), uuid4()
    (tmp_path / "run" / "ours").mkdir(parents=True)
    (tmp_path / "run" / "ours" / f"{names.short(id_)}.x").write_text(f"{id_} {os.getpid()} 1")
    assert ours.look().now == frozenset()


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
    assert Ours(tmp_path).look().known == set()
