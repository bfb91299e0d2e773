"""Who may touch an image, and which ones go."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.images.store import Store


@pytest.fixture
def store(home: Path) -> Store:
    store = Store(home / "images", grace=0)
    store.prepare()
    return store


async def test_one_at_a_time(store: Store) -> None:
    waited: list[str] = []
    inside = 0
    most = 0

    async def enter(name: str) -> None:
        nonlocal inside, most
        async with store.alone("x", lambda: waited.append(name)):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.02)
            inside -= 1

    await asyncio.gather(*(enter(str(i)) for i in range(5)))
    assert most == 1
    assert waited
    assert list(store.building.iterdir()) == []


async def test_a_lock_left_by_the_dead_is_free(store: Store) -> None:
    (store.building / "x.lock").touch()
    async with asyncio.timeout(1), store.alone("x", lambda: None):
        pass


async def test_collects_what_nobody_may_need(make_yard: Callable[..., Any], project: Any) -> None:
    yard = make_yard(grace=0)
    images = [
        await yard.build(project(**{"agent.py": f"graph = {n}\n", "requirements.txt": f"{package}\n"}))
        for n, package in enumerate(("attrs", "attrs", "six"))
    ]
    bases = yard.home / "images" / "bases"
    assert len(list(bases.iterdir())) == 2
    assert await yard.images.collect({images[0].digest}) == 2
    assert [path.name for path in yard.bundles()] == [images[0].digest.removeprefix("sha256:")]
    assert len(list(bases.iterdir())) == 1
    assert len(list((yard.home / "images" / "locks").iterdir())) == 2
    assert yard.bundle(images[0]).graphs
    again = await yard.build(project(**{"agent.py": "graph = 2\n", "requirements.txt": "six\n"}))
    assert (again.digest, again.reused) == (images[2].digest, False)
    assert "their lock is kept" in " ".join(line["message"] for line in yard.log())


async def test_spares_what_was_used_just_now(make_yard: Callable[..., Any], project: Any) -> None:
    yard = make_yard(grace=3600)
    image = await yard.build(project())
    assert await yard.images.collect(set()) == 0
    long_ago = time.time() - 7200
    os.utime(yard.bundle(image).path / ".complete", (long_ago, long_ago))
    assert (await yard.build(project())).reused
    assert await yard.images.collect(set()) == 0
    os.utime(yard.bundle(image).path / ".complete", (long_ago, long_ago))
    assert await yard.images.collect(set()) == 1


async def test_spares_what_is_being_built(store: Store) -> None:
    half = store.place("sha256:" + "a" * 64)
    half.mkdir()
    async with store.alone("a" * 64, lambda: None):
        assert store.collect(set()) == 0
        assert half.exists()
    assert store.collect(set()) == 1
    assert not half.exists()


async def test_sweeps_up_after_the_killed(store: Store) -> None:
    left = store.building / "left"
    left.mkdir()
    (left / "file").touch()
    (store.building / "old.lock").touch()
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    old = store.locks / "old.txt"
    old.touch()
    os.utime(old, (1, 1))
    with store.staging() as mine:
        os.utime(mine, (long_ago, long_ago))
        store.collect(set())
        assert list(store.building.iterdir()) == [mine]
    assert list(store.building.iterdir()) == []
    assert not old.exists()


async def test_collecting_where_nothing_was_built_is_fine(make_yard: Callable[..., Any]) -> None:
    assert await make_yard().images.collect({"sha256:x"}) == 0


async def test_a_bundle_without_its_python_is_none(make_yard: Callable[..., Any], project: Any) -> None:
    yard = make_yard()
    image = await yard.build(project())
    python = yard.bundle(image).python
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert not (await yard.build(project())).reused
    assert python.resolve().exists()
