"""Bundles made by hand and damaged in every way: told apart, and what is no damage is not taken for any."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane.images import whole
from dataplane.images.bundle import Graph, Provenance, Record
from dataplane.images.whole import Bundles
from workflows.drift import MISSING, WHOLE
from workflows.shapes import Flavour

NAME = "ab" * 32
DIGEST = f"sha256:{NAME}"
PACKAGES = "venv/lib/python3.11/site-packages"


def made(home: Path) -> Path:
    """A complete bundle with its list, over the packages of a base."""
    place, base = home / "images" / NAME, home / "images" / "bases" / "base"
    for directory in (place / "source" / "data", place / "venv" / "bin", place / PACKAGES / "server"):
        directory.mkdir(parents=True)
    (base / "lib" / "python3.11" / "site-packages" / "server").mkdir(parents=True)
    (base / ".complete").touch()
    (place / "source" / "agent.py").write_text("graph = 1\n")
    (place / "source" / "data" / "words.txt").write_text("words\n")
    (place / "venv" / "bin" / "python").write_text("#!/bin/sh\n")
    (place / "venv" / "bin" / "python").chmod(0o755)
    shared = base / "lib" / "python3.11" / "site-packages" / "server" / "main.py"
    shared.write_text("run = 1\n")
    (place / PACKAGES / "server" / "main.py").hardlink_to(shared)
    made_of = Provenance(
        source_digest="s", lock_digest="l", config_path="langgraph.json", flavour=Flavour.PG, python="3.11",
        builder="b", server="s",
    )  # fmt: skip
    graphs = {"agent": Graph(target="agent.py", attribute="graph")}
    record = Record(digest=DIGEST, provenance=made_of, graphs=graphs, base="base")
    (place / "bundle.json").write_text(record.model_dump_json())
    whole.write(place)
    (place / ".complete").touch()
    return place


def rewrite(path: Path) -> None:
    """As long as before and as old, so that only reading it tells."""
    told = path.stat()
    path.write_text(path.read_text().replace("1", "2"))
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda place: place.rename(place.with_name("away")), MISSING),
        (lambda place: (place / ".complete").unlink(), "without .complete"),
        (lambda place: (place / "source").rename(place / "elsewhere"), "without source"),
        (lambda place: (place / "venv" / "bin" / "python").unlink(), "without its Python"),
        (lambda place: (place / "venv" / "bin" / "python").chmod(0o644), "its Python cannot be executed"),
        (lambda place: (place / "source").chmod(0), "source cannot be read (mode 0000)"),
        (
            lambda place: (place / "source" / "agent.py").chmod(0),
            "source/agent.py cannot be read (mode 0000)",
        ),
        (lambda place: (place / "source" / "agent.py").unlink(), "without source/agent.py"),
        (
            lambda place: (place / "source" / "agent.py").write_text("graph = 22\n"),
            "source/agent.py was changed",
        ),
        (lambda place: (place / "source" / "data" / "words.txt").unlink(), "without source/data/words.txt"),
        (lambda place: (place / PACKAGES / "server").rename(place / "server"), "without its packages"),
        (lambda place: (place / "bundle.json").write_text("{"), "bundle.json cannot be read"),
        (lambda place: (place / "files.json").write_text("[1]"), "files.json cannot be read"),
    ],
)
def test_damage_is_seen_at_a_glance(tmp_path: Path, damage: Damage, told: str) -> None:
    place, bundles = made(tmp_path), Bundles(tmp_path)
    assert bundles.look(DIGEST) == WHOLE
    damage(place)
    assert bundles.look(DIGEST) == told
    for path in (place / "source", place / "source" / "agent.py"):
        if path.exists():
            path.chmod(0o755)


@pytest.mark.parametrize("path", ["source/agent.py", f"{PACKAGES}/server/main.py"])
def test_what_only_reading_tells_is_known_until_it_is_made_again(tmp_path: Path, path: str) -> None:
    place, bundles = made(tmp_path), Bundles(tmp_path)
    if path.startswith("source"):
        rewrite(place / path)
    else:
        (place / path).write_text("run = 22\n")
    assert bundles.look(DIGEST) == WHOLE
    bundles.read_next()
    assert bundles.look(DIGEST) == bundles.known(DIGEST) == f"{path} was changed"
    record = json.loads((place / "bundle.json").read_text())
    (place / "bundle.json").write_text(json.dumps(record))
    assert bundles.look(DIGEST) == WHOLE


def test_what_a_project_writes_while_it_runs_is_no_damage(tmp_path: Path) -> None:
    place, bundles = made(tmp_path), Bundles(tmp_path)
    (place / "source" / "notes.db").write_text("new")
    (place / "source" / "data" / "words.txt").write_text("other words\n")
    os.utime(place / "source" / "agent.py")
    (place / "source" / "__pycache__").mkdir()
    assert bundles.read(DIGEST) == WHOLE


def test_an_image_of_an_older_release_has_no_list(tmp_path: Path) -> None:
    place = made(tmp_path)
    (place / "files.json").unlink()
    (place / "source" / "data" / "words.txt").unlink()
    assert Bundles(tmp_path).read(DIGEST) == WHOLE
    (place / "source" / "agent.py").unlink()
    assert Bundles(tmp_path).read(DIGEST) == "without source/agent.py"


def test_images_are_read_by_turns(tmp_path: Path) -> None:
    read: list[str] = []

    class Watched(Bundles):
        def read(self, digest: str) -> str:
            read.append(digest[-1])
            return WHOLE

    for digit in "123":
        (tmp_path / "images" / (digit * 64)).mkdir(parents=True)
        (tmp_path / "images" / (digit * 64) / ".complete").touch()
    bundles = Watched(tmp_path)
    for _ in range(4):
        bundles.read_next()
    assert read == ["1", "2", "3", "1"]


@pytest.mark.parametrize(("shared", "stays"), [(True, False), (False, True)])
def test_what_is_condemned_takes_damaged_packages_with_it(tmp_path: Path, shared: bool, stays: bool) -> None:
    place = made(tmp_path)
    file = place / PACKAGES / "server" / "main.py"
    if not shared:
        file.unlink()
    file.write_text("run = 22\n")
    Bundles(tmp_path).condemn(DIGEST)
    assert not (place / ".complete").exists()
    assert (tmp_path / "images" / "bases" / "base" / ".complete").exists() == stays
