"""Builds that cannot succeed, and what is said of them."""

import errno
import json
from typing import Any

import pytest

from workflows.causes import Code, Refused

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


async def test_full_disk_is_told_apart(yard: Any, project: Any, monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dataplane.images.bundles.archive.unpack", full)
    with pytest.raises(Refused) as refused:
        await yard.build(project())
    assert refused.value.cause.code == Code.DISK_FULL
    assert yard.left() == []
