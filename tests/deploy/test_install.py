"""From nothing to `.venv`: what goes wrong on a fresh machine is told in one sentence and leaves nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOOLS = """
awk basename bash cat chmod cut date df dirname grep head ln mkdir mktemp readlink rm sed sh sha256sum tail
"""
REAL = Path(sys.executable).resolve()


class Ground:
    """A checkout of nothing but the installer, and a PATH with nothing but the tools it needs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "bin"
        self.path.mkdir()
        for tool in TOOLS.split():
            found = shutil.which(tool)
            assert found is not None, tool
            (self.path / tool).symlink_to(found)
        (directory / "deploy").mkdir()
        shutil.copy(CHECKOUT / "deploy" / "install.sh", directory / "deploy")
        (directory / "pyproject.toml").write_text('[project]\nname = "graphyard"\nversion = "1.2.3"\n')
        self.lock("")

    def lock(self, text: str) -> None:
        (self.directory / "requirements.lock").write_text(text)

    def command(self, name: str, script: str) -> str:
        """Put a stand-in for a program on the PATH."""
        path = self.path / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def install(self, python: str = str(REAL), **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        return subprocess.run(
            ["deploy/install.sh", python, ".venv", "requirements.lock"],
            cwd=self.directory,
            env={**kept, "PATH": str(self.path), "PIP_CONFIG_FILE": os.devnull, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def venv(self) -> Path:
        return self.directory / ".venv"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refusal."""
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("graphyard: ")
    return lines[0]


def test_from_nothing_then_again_then_after_a_move(ground: Ground) -> None:
    first = ground.install()
    assert first.returncode == 0, first.stderr
    shown = subprocess.run(
        [ground.venv / "bin" / "python", "-c", "import sys; print(sys.path[-1])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.strip() == str(ground.directory)
    assert sorted(path.name for path in (ground.venv / "commands").iterdir()) == ["graphyard", "langgraph"]
    assert ground.install().stdout == ""

    (ground.venv / "place").write_text("/somewhere/else\n")
    (ground.venv / "requirements.lock.stamp").write_text("of another place")
    (ground.venv / "left-over").write_text("")
    assert "packages" in ground.install().stdout
    assert not (ground.venv / "left-over").exists()


def test_an_old_python_is_refused_with_its_version(ground: Ground) -> None:
    old = ground.command("python3", '[ "$1" = -V ] && echo "Python 3.9.2" && exit 0; exit 1')
    assert "Python 3.11 or newer is needed" in refused(ground.install(old))
    assert "is 3.9.2: install python3.11" in refused(ground.install(old))
    assert not ground.venv.exists()


def test_a_newer_python_beside_an_old_one_is_taken(ground: Ground) -> None:
    old = ground.command("python3", "exit 1")
    ground.command("python3.12", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {REAL} "$@"')
    assert "python3.12 has no venv module" in refused(ground.install(old))


def test_no_python_at_all_is_told(ground: Ground) -> None:
    assert "is not there: install python3.11" in refused(ground.install("python3"))


def test_a_python_without_venv_is_told_which_package_to_install(ground: Ground) -> None:
    bare = ground.command("python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {REAL} "$@"')
    assert "apt install python3-venv" in refused(ground.install(bare))
    assert not ground.venv.exists()


def test_a_full_disk_is_told_before_anything_is_written(ground: Ground) -> None:
    ground.command(
        "df", 'echo "Filesystem 1M-blocks Used Available Use% Mounted on"; echo "/dev/x 9 9 321 99% /"'
    )
    assert "has 321 MB left and the installation needs 1500 MB" in refused(ground.install())
    assert not ground.venv.exists()


SAYS = {
    "OSError: [Errno 28] No space left on device": "is full: free 1500 MB and try again",
    "ERROR: Could not install packages due to an OSError: [Errno 122] Disk quota exceeded": "is full: free",
    "WARNING: Retrying: Temporary failure in name resolution": "The package registry cannot be reached",
    "ERROR: No matching distribution found for uv==0.1": "The package registry cannot be reached or lacks",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.": "is not the one that",
}


@pytest.mark.parametrize(("said", "told"), SAYS.items())
def test_what_pip_says_is_told_in_our_words_and_nothing_is_left(ground: Ground, said: str, told: str) -> None:
    failing = f"""case "$*" in
      "-m venv"*) mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python; exit ;;
      *"pip install"*) echo "{said}" >&2; exit 1 ;;
    esac
    exec {REAL} "$@" """
    assert told in refused(ground.install(ground.command("python3", failing)))
    assert not ground.venv.exists()


def test_a_registry_that_is_not_there_is_told(ground: Ground) -> None:
    ground.lock("left-pad-of-nobody==1.0 --hash=sha256:" + "0" * 64 + "\n")
    done = ground.install(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    assert "The package registry cannot be reached or lacks a package" in refused(done)
    assert "PIP_INDEX_URL" in done.stderr
    assert not ground.venv.exists()


def test_an_environment_that_worked_survives_a_registry_that_does_not(ground: Ground) -> None:
    (ground.venv / "bin").mkdir(parents=True)
    (ground.venv / "place").write_text(f"{ground.venv}\n")
    failing = f"""case "$*" in *"pip install"*) echo "ERROR: Max retries exceeded" >&2; exit 1 ;; esac
    case "$*" in *"import pip"*) exit 0 ;; esac; exec {REAL} "$@" """
    (ground.venv / "bin" / "python").symlink_to(ground.command("python-in-there", failing))
    assert "cannot be reached" in refused(ground.install())
    assert (ground.venv / "bin" / "python").exists()
