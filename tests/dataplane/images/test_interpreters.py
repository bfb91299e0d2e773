"""Which Pythons count: those that start and answer."""

import os
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from dataplane.images.interpreters import Interpreters
from workflows.causes import Code, Refused

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


def fake(place: Path, name: str, answer: str) -> None:
    path = place / name
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)


def says(version: str, path: str = "/opt/python", implementation: str = "cpython") -> str:
    return f"""echo '[[{version}], "{implementation}", "{path}"]'"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    fake(tmp_path, "python3.12", says("3, 12, 4", "/opt/a"))
    fake(tmp_path, "python3.13", "echo 'version 3.13 is not set' >&2; exit 127")
    fake(tmp_path, "python3.14", says("3, 14, 0", "/opt/b"))
    fake(tmp_path, "python3.15", says("3, 15, 0", implementation="pypy"))
    fake(tmp_path, "python3.9", says("3, 9, 0"))
    fake(tmp_path, "python3.16-config", says("3, 16, 0"))
    fake(tmp_path, "python3.17", "echo nonsense")
    (tmp_path / "python3.18").write_text("not executable")
    return tmp_path


async def test_only_those_that_answer_count(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    second = tmp_path_factory.mktemp("second")
    fake(second, "python3.12", says("3, 12, 9", "/opt/later"))
    found = await Interpreters([str(place), str(second), "/nowhere"]).all()
    assert [(str(one), str(one.path)) for one in found] == [("3.12.4", "/opt/a"), ("3.14.0", "/opt/b")]


@pytest.mark.parametrize(
    ("declared", "needs", "chosen"),
    [(None, "", "3.12.4"), (None, ">3.13", "3.14.0"), ("3.14", "", "3.14.0"), ("3.12", ">=3.12.4", "3.12.4")],
)
async def test_chooses(place: Path, declared: str | None, needs: str, chosen: str) -> None:
    assert str(await Interpreters([str(place)]).choose(declared, SpecifierSet(needs))) == chosen


@pytest.mark.parametrize(
    ("declared", "needs", "says"),
    [
        ("3.11", "", "This machine has no Python 3.11; it has 3.12, 3.14."),
        ("3.13", "", "no Python 3.13"),
        (None, ">=3.20", "needs Python >=3.20, which this machine lacks; it has 3.12, 3.14."),
        ("3.12", ">=3.14", "needs Python >=3.14, which the declared 3.12 is not."),
    ],
)
async def test_lists_what_there_is(place: Path, declared: str | None, needs: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        await Interpreters([str(place)]).choose(declared, SpecifierSet(needs))
    assert refused.value.cause.code == Code.PYTHON_UNAVAILABLE
    assert says in refused.value.cause.message


async def test_finds_a_real_one_that_is_not_ours() -> None:
    found = await Interpreters().all()
    assert found
    for one in found:
        assert os.access(one.path, os.X_OK)
        assert not one.path.is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix
    assert MINOR in [one.minor for one in found]


async def test_looks_once(place: Path) -> None:
    interpreters = Interpreters([str(place)])
    first = await interpreters.all()
    for path in place.iterdir():
        path.unlink()
    assert await interpreters.all() is first
