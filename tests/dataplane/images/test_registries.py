"""Where a project says its packages come from."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dataplane.images.inside import packages

MARKER = "hush-marker-7341"


@pytest.fixture
def make_wheel() -> Callable[[Path, str, str], None]:
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
