"""What was built before, half built, or is being built right now: never twice, and never by halves."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dataplane.images.inside import run
from workflows.causes import Code, Refused
from workflows.shapes import Image


async def test_same_source_is_not_built_again(yard: Any, project: Any) -> None:
    first = await yard.build(project())
    before = yard.bundle(first).path.stat().st_ino
    again = await yard.build(project())
    assert (again.digest, again.reused) == (first.digest, True)
    assert yard.bundle(again).path.stat().st_ino == before
    assert "nothing was built" in yard.log()[-1]["message"]
    named = await yard.build(None, image=first.digest)
    assert (named.digest, named.reused) == (first.digest, True)


async def test_new_code_resolves_and_installs_nothing(yard: Any, project: Any, pyproject: Any) -> None:
    files = project(**{"pyproject.toml": pyproject('dependencies = ["attrs"]')})
    first = await yard.build(files)
    os.environ["UV_OFFLINE"] = "1"
    try:
        second = await yard.build(files | {"agent.py": "graph = 'new'\n"})
    finally:
        del os.environ["UV_OFFLINE"]
    assert second.digest != first.digest
    assert second.lock_digest == first.lock_digest
    assert run(yard.bundle(second), "import agent; print(agent.graph)") == "new"
    said = " ".join(line["message"] for line in yard.log())
    assert "their lock is kept" in said
    assert "+ attrs" not in said
    shared = [
        next((yard.bundle(one).path / "venv").glob("lib/*/site-packages/attr/__init__.py")).stat().st_ino
        for one in (first, second)
    ]
    assert shared[0] == shared[1]


async def test_an_image_that_went_is_rebuilt_or_said_to_be_gone(yard: Any, project: Any) -> None:
    image = await yard.build(project())
    (yard.bundle(image).path / ".complete").unlink()
    with pytest.raises(Refused, match="not on this machine any more") as refused:
        await yard.build(None, image=image.digest)
    assert refused.value.cause.code == Code.IMAGE_GONE
    with pytest.raises(Refused, match="not on this machine"):
        yard.bundle(image)
    again = await yard.build(project(), image=image.digest)
    assert (again.digest, again.reused) == (image.digest, False)


async def test_preflight_of_an_image_reads_no_archive(yard: Any, project: Any) -> None:
    image = await yard.build(project())
    fetched = yard.box.fetched
    plan = await yard.images.preflight(yard.wish(None, image=image.digest))
    assert (plan.source_digest, plan.python, plan.graphs) == (image.source_digest, image.python, ["agent"])
    assert yard.box.fetched == fetched


async def test_two_builds_of_one_thing_are_one_build(yard: Any, project: Any) -> None:
    files = project({"dependencies": [".", "attrs"]})
    images: list[Image] = await asyncio.gather(*(yard.build(files) for _ in range(3)))
    assert len({image.digest for image in images}) == 1
    assert sorted(image.reused for image in images) == [False, True, True]
    assert len(yard.bundles()) == 1


SLOW = """\
import os, pathlib, time
pathlib.Path(os.environ["HOME"], "began").write_text(str(os.getpid()))
time.sleep(600)
"""


async def test_cancelling_really_ends_it(yard: Any, project: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", _cache())
    monkeypatch.setenv("HOME", str(yard.home))
    building = asyncio.create_task(yard.build(project(**{"setup.py": SLOW})))
    began = yard.home / "began"
    async with asyncio.timeout(60):
        while not (began.exists() and began.read_text()):
            await asyncio.sleep(0.02)
    pid = int(began.read_text())
    assert _alive(pid)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    async with asyncio.timeout(10):
        while _alive(pid):
            await asyncio.sleep(0.02)
    began.unlink()
    assert yard.left() == []
    assert (await yard.build(project())).reused is False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _cache() -> str:
    return os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")


async def test_what_was_half_made_is_made_anew(yard: Any, project: Any) -> None:
    image = await yard.build(project())
    place = yard.bundle(image).path
    (place / ".complete").unlink()
    (place / "source" / "agent.py").write_text("graph = 'half'")
    (place / "rubbish").write_text("x")
    again = await yard.build(project())
    assert (again.digest, again.reused) == (image.digest, False)
    assert not (place / "rubbish").exists()
    assert "half" not in (place / "source" / "agent.py").read_text()


WORKER = """\
import asyncio, pathlib, sys
from dataplane.images.bundles import BundleImages
from dataplane.images.inflate import Limits
from dataplane.images.servers import ServerPackages
from sealing import Keyring
from workflows.shapes import Wish

home, archive = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
wish = Wish.model_validate_json(sys.argv[3])
server = ServerPackages(wish.flavour, "0.11.1", ("idna==3.10",))

class Box:
    async def fetch(self, upload_id, to):
        to.write_bytes(archive.read_bytes())

limits = Limits(4 << 20, 64 << 20, 300, 200)
images = BundleImages(home, Box(), Keyring.load(home / "keys"), limits, {wish.flavour: server})
asyncio.run(images.build(wish, lambda said: None))
"""


async def test_after_a_kill_the_same_build_starts_over(
    yard: Any, project: Any, monkeypatch: Any, pack: Any
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", _cache())
    monkeypatch.setenv("HOME", str(yard.home))
    began, slow = yard.home / "began", yard.home / "slow"
    slow.touch()
    code = SLOW.replace("time.sleep(600)", f"time.sleep(600) if os.path.exists({str(slow)!r}) else None")
    code += "from setuptools import setup\nsetup(name='agent', version='1', py_modules=['agent'])\n"
    wish = yard.wish(project(**{"setup.py": code}))
    archive = yard.home / "archive"
    archive.write_bytes(yard.box.archives[wish.archive.upload_id])
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(yard.home), str(archive), wish.model_dump_json()],
        cwd=Path(__file__).parents[3],
    )
    async with asyncio.timeout(60):
        while not (began.exists() and began.read_text()):
            assert worker.poll() is None
            await asyncio.sleep(0.02)
    pid = int(began.read_text())
    worker.kill()
    worker.wait()
    async with asyncio.timeout(10):
        while _alive(pid):
            await asyncio.sleep(0.02)
    building = yard.home / "images" / "building"
    assert list(building.iterdir())
    slow.unlink()
    image = await yard.images.build(wish, lambda _: None)
    assert not image.reused
    assert run(yard.bundle(image), "import agent; print(agent.__file__)").endswith("agent.py")
    left = [path for path in building.iterdir() if path.is_dir()]
    assert len(left) == 1
    os.utime(left[0], (1, 1))
    await yard.images.collect({image.digest})
    assert list(building.iterdir()) == []
