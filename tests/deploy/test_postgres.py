"""Postgres as it is made: once, again after a crash half way, and not where it cannot run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import postgres
from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble


def test_a_cluster_is_made_once_and_a_half_made_one_anew(home: Home) -> None:
    home.make()
    home.postgres.mkdir()
    (home.postgres / "PG_VERSION").write_text("half made")
    binaries = postgres.binaries(dict(os.environ))
    assert postgres.initialise(home, binaries, "a password") is True
    assert postgres.initialise(home, binaries, "a password") is False
    assert not list((home.root / "secrets").iterdir())
    for _ in range(2):
        postgres.configure(home)
    assert (home.postgres / "postgresql.conf").read_text().count("graphyard.conf") == 1


def test_a_pid_that_was_handed_out_anew_is_no_other_postgres(home: Home) -> None:
    home.make()
    home.postgres.mkdir()
    lock = home.postgres / "postmaster.pid"
    rest = f"{home.postgres}\n1795415305\n23999\n\n127.0.0.1\n  2163228    655373\nready   \n"
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(words) as stranger, subprocess.Popen([*words, str(home.postgres)]) as ours:
        lock.write_text(f"{stranger.pid}\n{rest}")
        postgres.forget_stranger(home)
        assert lock.read_text() == f"{postgres.NO_PID}\n{rest}"
        lock.write_text(f"{ours.pid}\n{rest}")
        postgres.forget_stranger(home)
        assert lock.read_text() == f"{ours.pid}\n{rest}"
        stranger.kill()
        ours.kill()
    for said in (f"{stranger.pid}\n{rest}", "", "no pid\n"):
        lock.write_text(said)
        postgres.forget_stranger(home)
        assert lock.read_text() == said
    assert int(Path("/proc/sys/kernel/pid_max").read_text()) < postgres.NO_PID


def test_a_cluster_that_cannot_be_made_is_told_with_postgres_s_reason(home: Home) -> None:
    home.make()
    home.postgres.parent.rmdir()
    home.postgres.parent.write_text("in the way")
    with pytest.raises(
        Trouble, match=r"Postgres could not make its data directory .* \(initdb: error: .*\): put"
    ):
        postgres.initialise(home, postgres.binaries(dict(os.environ)), "a password")


def test_a_root_without_user_namespaces_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(
        Trouble, match=r"does not run as root .* Operation not permitted\): run this as an ordinary"
    ):
        postgres.check_disguise()


def test_a_root_without_unshare_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Trouble, match="The program unshare"):
        postgres.check_disguise()


def test_an_ordinary_user_needs_no_disguise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    postgres.check_disguise()
    assert postgres.disguise() == []


def test_other_binaries_may_be_named_and_are_looked_at(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="there is no initdb in it"):
        postgres.binaries({"PG_BIN": str(tmp_path)})
    (tmp_path / "initdb").touch()
    assert postgres.binaries({"PG_BIN": str(tmp_path)}) == tmp_path


def test_a_server_that_is_not_there_does_not_answer() -> None:
    assert postgres.answers("postgresql://nobody@127.0.0.1:9/none") is False
