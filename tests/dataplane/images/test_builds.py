"""Whole builds with the real uv and small packages from the registry."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.images.bundle import Bundle
from workflows.causes import Code, Refused
from workflows.shapes import Image

MARKER = "hush-marker-7341"


def run(bundle: Bundle, code: str, cwd: Path | None = None) -> str:
    """What a bundle's Python prints, started as a server would be, away from the sources."""
    done = subprocess.run(
        [str(bundle.python), "-c", code], cwd=cwd or "/", capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def packages(bundle: Bundle) -> dict[str, str]:
    each = "{one.name: one.version for one in importlib.metadata.distributions()}"
    code = f"import importlib.metadata, json; print(json.dumps({each}))"
    found: dict[str, str] = json.loads(run(bundle, code))
    return found


async def test_makes_a_bundle_with_provenance(yard: Any, project: Any, pyproject: Any) -> None:
    image = await yard.build(project(**{"pyproject.toml": pyproject('dependencies = ["attrs==24.2.0"]')}))
    assert not image.reused
    bundle = yard.bundle(image)
    assert {"agent": "1", "attrs": "24.2.0", "idna": "3.10"}.items() <= packages(bundle).items()
    assert run(bundle, "import agent; print(agent.__file__)") == str(bundle.source / "agent.py")
    record = bundle.record
    lock = (bundle.path / "lock.txt").read_text()
    assert record.provenance.lock_digest == f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}"
    assert "attrs==24.2.0" in lock
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    for part in ("source_digest", "lock_digest", "server", "builder", "python", "size"):
        assert getattr(image, part) == getattr(record.provenance, part)
    assert image.server == "langgraph-api==0.11.1"
    assert image.size > 100_000
    assert image.graphs == ["agent"]
    assert (bundle.path.stat().st_mode & 0o777) == 0o700


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


async def test_variables_are_sealed_and_no_part_of_the_image(yard: Any, project: Any) -> None:
    as_map = await yard.build(project({"env": {"TOKEN": MARKER, "EMPTY": ""}}))
    other = await yard.build(project({"env": {"TOKEN": "other"}}))
    assert other.digest == as_map.digest
    assert other.reused
    opened = yard.keyring.open_map(as_map.defaults, str(yard.deployment))
    assert opened == {"TOKEN": MARKER, "EMPTY": ""}
    assert (await yard.build(project({"env": {}}))).defaults is None
    text = f"A={MARKER}\nB=${{A}}-b\nC='${{HOME}}'\nexport D=${{HOME}}x\n"
    text += "LANGSMITH_DEPLOYMENT_NAME=me\nDATABASE_URI=x\n"
    as_file = await yard.build(project({"env": "./prod.env"}, **{"prod.env": text}))
    changed = await yard.build(project({"env": "./prod.env"}, **{"prod.env": f"A={MARKER}2\n"}))
    assert as_file.digest == changed.digest
    assert yard.keyring.open_map(as_file.defaults, str(yard.deployment)) == {
        "A": MARKER,
        "B": f"{MARKER}-b",
        "C": "",
        "D": "x",
    }
    by_default = await yard.build(project(**{".env": f"TOKEN={MARKER}\n"}))
    assert yard.keyring.open_map(by_default.defaults, str(yard.deployment)) == {"TOKEN": MARKER}
    assert (await yard.build(project({"env": "./absent.env"}))).defaults is None
    for path in yard.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert MARKER.encode() not in path.read_bytes(), path
            assert path.name not in (".env", "prod.env")


@pytest.fixture
def setup_py() -> str:
    fields = "name='shared-lib', version='3', py_modules=['shared'], install_requires=['sniffio']"
    return f"from setuptools import setup\nsetup({fields})\n"


async def test_monorepo_of_every_kind(yard: Any, project: Any, pyproject: Any, setup_py: str) -> None:
    config = {
        "dependencies": [".", "../../libs/shared", "../../libs/plain", "../../libs/flat", "attrs>=24"],
        "graphs": {"agent": "./agent.py:graph", "other": "../../libs/plain/tubes/main.py:graph"},
    }
    more = 'dependencies = ["shared-lib"]\n[project.optional-dependencies]\nextra = ["six"]\n'
    files = {
        "apps/one/agent.py": "import shared, tubes.main, flat.part\ngraph = shared.VALUE\n",
        "apps/one/langgraph.json": json.dumps(config),
        "apps/one/pyproject.toml": pyproject(more),
        "libs/shared/setup.py": setup_py,
        "libs/shared/shared.py": "VALUE = 'from shared'\n",
        "libs/plain/tubes/main.py": "graph = 1\n",
        "libs/plain/requirements.txt": "-r base.txt\n-c limits.txt\niniconfig\n",
        "libs/plain/base.txt": "toolz\n",
        "libs/plain/limits.txt": "toolz<1.0\niniconfig==2.0.0\n",
        "libs/flat/__init__.py": "",
        "libs/flat/part.py": "",
        "libs/with space/README": "",
    }
    image = await yard.build(files, config_path="apps/one/langgraph.json")
    bundle = yard.bundle(image)
    assert run(bundle, "import agent; print(agent.graph)") == "from shared"
    found = packages(bundle)
    assert {"shared-lib", "agent", "sniffio", "attrs", "toolz", "iniconfig"} <= found.keys()
    assert found["iniconfig"] == "2.0.0"
    assert "six" not in found
    assert run(bundle, "import sys; print(any('with space' in p for p in sys.path))") == "False"


async def test_extras(yard: Any, project: Any, pyproject: Any) -> None:
    more = "[project.optional-dependencies]\nextra = ['six', 'requests[socks]>=2']\n"
    files = project({"dependencies": [".[extra]", "anyio[trio]"]}, **{"pyproject.toml": pyproject(more)})
    found = packages(yard.bundle(await yard.build(files)))
    assert {"six", "pysocks", "trio"} <= {name.lower() for name in found}


async def test_programs_of_packages_belong_to_the_bundle(yard: Any, project: Any) -> None:
    config = {"dependencies": [".", "tabulate", "pip"], "keep_pkg_tools": ["wheel"]}
    bundle = yard.bundle(await yard.build(project(config)))
    for name in ("tabulate", "pip", "wheel"):
        first = (bundle.bin / name).read_text().splitlines()
        assert any(str(bundle.python) in line for line in first[:3])
        assert "bases" not in "".join(first[:3])
    said = subprocess.check_output([bundle.bin / "pip", "--version"], text=True)
    assert str(bundle.path) in said


async def test_server_finds_everything_compiled(yard: Any, project: Any) -> None:
    bundle = yard.bundle(await yard.build(project()))
    assert run(bundle, "import idna.core; print(idna.core.__cached__)").endswith(".pyc")
    site = next((bundle.path / "venv" / "lib").glob("python3.*/site-packages"))
    assert list(site.glob("idna/__pycache__/core.*.pyc"))


FAILURES: dict[str, tuple[dict[str, Any], dict[str, str], Code, str]] = {
    "no such package": (
        {"dependencies": [".", "graphyard-there-is-no-such-package"]},
        {},
        Code.RESOLUTION_FAILED,
        "Could not resolve graphyard-there-is-no-such-package: Because graphyard-there-is-no-such-p",
    ),
    "no such version": (
        {"dependencies": [".", "idna==99.1"]},
        {},
        Code.RESOLUTION_FAILED,
        "idna==99.1",
    ),
    "clash with the server": (
        {},
        {"requirements.txt": "idna<3\n"},
        Code.RESOLUTION_FAILED,
        "Could not resolve idna: Because you require idna",
    ),
    "setup.py that raises": (
        {},
        {"setup.py": "raise RuntimeError('no luck today')\n"},
        Code.INSTALL_FAILED,
        "no luck today",
    ),
    "missing local package by name": (
        {},
        {"requirements.txt": "./libs/absent\n"},
        Code.DEPENDENCY_MISSING,
        "libs/absent",
    ),
    "requirement that is none": (
        {},
        {"requirements.txt": "idna\nnot a requirement!\n"},
        Code.RESOLUTION_FAILED,
        "not a requirement!",
    ),
    "local path outside": (
        {},
        {"requirements.txt": "-e /tmp\n"},
        Code.DEPENDENCY_MISSING,
        "",
    ),
}


@pytest.mark.parametrize(("config", "files", "code", "says"), FAILURES.values(), ids=FAILURES.keys())
async def test_lifts_the_cause(
    yard: Any, project: Any, config: dict[str, Any], files: dict[str, str], code: Code, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        await yard.build(project(config, **files))
    cause = refused.value.cause
    assert (cause.code, says in cause.message) == (code, True), cause
    assert str(yard.home) not in cause.message
    assert yard.left() == []
    assert yard.log()[-1]["level"] == "ERROR"


async def test_names_a_package_that_does_not_build(yard: Any, project: Any, pyproject: Any) -> None:
    broken = pyproject().replace("setuptools.build_meta", "no_such_backend")
    with pytest.raises(Refused) as refused:
        await yard.build(project(**{"pyproject.toml": broken}))
    assert refused.value.cause.code == Code.INSTALL_FAILED
    assert "no_such_backend" in refused.value.cause.message
    assert yard.bundles() == []


async def test_says_when_the_registry_is_away(yard: Any, project: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:hush@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(yard.home / "cache"))
    with pytest.raises(Refused) as refused:
        await yard.build(project({"dependencies": [".", "attrs"]}))
    assert refused.value.cause.code == Code.REGISTRY_UNREACHABLE
    assert "Connection refused" in refused.value.cause.message
    assert "hush" not in json.dumps(yard.log()) + str(refused.value)


async def test_pip_config_chooses_the_registry_and_stays_behind(
    yard: Any, project: Any, monkeypatch: Any, make_wheel: Callable[[Path, str, str], None]
) -> None:
    make_wheel(yard.home / "wheels", "private_thing", "7")
    make_wheel(yard.home / "wheels", "idna", "3.10")
    address = f"http://me:{MARKER}@127.0.0.1:9/"
    conf = f"[global]\nno-index = true\nfind-links = {yard.home}/wheels\nindex-url = {address}\n"
    files = project({"dependencies": ["./lib", "private_thing"], "pip_config_file": "pip.conf"})
    bundle = yard.bundle(await yard.build(files | {"pip.conf": conf, "lib/part.py": ""}))
    assert packages(bundle)["private_thing"] == "7"
    assert not (bundle.source / "pip.conf").exists()
    assert MARKER not in json.dumps(yard.log())
    for path in yard.home.rglob("*"):
        assert not path.is_file() or path.is_symlink() or MARKER.encode() not in path.read_bytes()


async def test_index_options_in_requirements_hold_for_installing_too(
    yard: Any, project: Any, make_wheel: Callable[[Path, str, str], None]
) -> None:
    make_wheel(yard.home / "wheels", "private_thing", "8")
    text = f"--find-links {yard.home}/wheels\nprivate-thing\n"
    bundle = yard.bundle(await yard.build(project(**{"requirements.txt": text})))
    assert packages(bundle)["private_thing"] == "8"


@pytest.fixture
def make_wheel() -> Callable[[Path, str, str], None]:
    import zipfile

    def make(to: Path, name: str, version: str) -> None:
        to.mkdir(exist_ok=True)
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(to / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            names = [f"{name}/__init__.py", *(f"{info}/{part}" for part in ("METADATA", "WHEEL", "RECORD"))]
            wheel.writestr(f"{info}/METADATA", about)
            wheel.writestr(f"{info}/WHEEL", kind)
            wheel.writestr(f"{info}/RECORD", "".join(f"{one},,\n" for one in names))

    return make


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


async def test_full_disk_is_told_apart(yard: Any, project: Any, monkeypatch: Any) -> None:
    import errno

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dataplane.images.bundles.archive.unpack", full)
    with pytest.raises(Refused) as refused:
        await yard.build(project())
    assert refused.value.cause.code == Code.DISK_FULL
    assert yard.left() == []


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
