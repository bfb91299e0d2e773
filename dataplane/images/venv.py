"""From a lock to installed packages: once per lock, then hard-linked into every bundle that has it.

A change of code alone then installs nothing from the registry, and finds the compiled form of every module:
without it a server spends half of its start compiling. A bundle's own virtual environment is made in its
final place, because editable installs and scripts remember where they are.
"""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from dataplane.images import failures
from dataplane.images.bundle import SOURCE, VENV, hexadecimal
from dataplane.images.dependencies import Declarations
from dataplane.images.inflate import Halt, Halted
from dataplane.images.interpreters import Interpreter
from dataplane.images.lock import Lock
from dataplane.images.run import Failed, environment, run
from dataplane.images.store import Store
from dataplane.images.threads import in_thread
from dataplane.images.uv import Uv

COMPILED = ".compiled"
LINKED = "packages"
LARGEST_SCRIPT = 64 * 1024
OWN_PROGRAMS = ("python", "activate", "deactivate", "pydoc")
OWN_PARTS = frozenset({"bin", "lib", "lib64", "pyvenv.cfg", ".gitignore", ".lock", "CACHEDIR.TAG"})

Said = Callable[[str], None]


def base_name(lock: Lock, interpreter: Interpreter) -> str:
    """The directory of a lock's installed packages below `bases/`."""
    return f"{hexadecimal(lock.digest)[:40]}-{interpreter}"


async def install(
    uv: Uv,
    store: Store,
    place: Path,
    lock: Lock,
    declarations: Declarations,
    interpreter: Interpreter,
    workdir: Path,
    said: Said,
) -> None:
    """Fill `place`/venv: the lock's packages, the local projects, what is only put on the path."""
    base = await _base(uv, store, lock, interpreter, workdir, said)
    venv = place / VENV
    await _venv(uv, interpreter, venv, said)
    compiling = None if (base / COMPILED).exists() else asyncio.create_task(_compile(base))
    try:
        await in_thread(lambda halt: graft(base, venv, halt))
        await _locals(uv, place, lock, said)
        _put_on_path(place, declarations)
        if compiling is not None:
            await compiling
            await in_thread(lambda halt: graft(base, venv, halt))
    finally:
        if compiling is not None:
            compiling.cancel()
            with contextlib.suppress(asyncio.CancelledError, Failed):
                await compiling


async def _base(
    uv: Uv, store: Store, lock: Lock, interpreter: Interpreter, workdir: Path, said: Said
) -> Path:
    """The installed packages of the lock: found, or installed now."""
    name = base_name(lock, interpreter)
    place = store.bases / name
    async with store.alone(f"base-{name}", lambda: said("Waiting for another build of the same packages")):
        if store.finished(place):
            return place
        await in_thread(lambda _: shutil.rmtree(place, ignore_errors=True))
        try:
            await _venv(uv, interpreter, place, said)
            (place / "lock.txt").write_text(lock.text)
            target = ("--python", str(place / "bin" / "python"))
            await uv(
                "pip", "sync", "--require-hashes", *target, str(place / "lock.txt"), cwd=workdir, said=said
            )
            if lock.direct:
                await uv("pip", "install", "--no-deps", *target, "--", *lock.direct, cwd=workdir, said=said)
        except Failed as failed:
            await in_thread(lambda _: shutil.rmtree(place, ignore_errors=True))
            raise failures.of_installing(failed.lines) from None
        except BaseException:
            await in_thread(lambda _: shutil.rmtree(place, ignore_errors=True))
            raise
        store.finish(place)
        return place


async def _venv(uv: Uv, interpreter: Interpreter, place: Path, said: Said) -> None:
    try:
        await uv(
            *("venv", "--no-project", "--no-config", "--python", str(interpreter.path), str(place)),
            cwd=place.parent,
            said=said,
        )
    except Failed as failed:
        raise failures.of_installing(failed.lines) from None


async def _locals(uv: Uv, place: Path, lock: Lock, said: Said) -> None:
    """The project's own packages, editable: the files that are imported are the files that `graphs` names."""
    if not lock.locals:
        return
    source = place / SOURCE
    args: list[str] = []
    for name in lock.locals:
        path = source / name
        args += ["-e", str(path)] if path.is_dir() else [str(path)]
    target = ("--python", str(place / VENV / "bin" / "python"))
    try:
        await uv("pip", "install", "--no-deps", *target, *args, cwd=source, said=_shortened(said, source))
    except Failed as failed:
        raise failures.of_installing([line.replace(f"{source}/", "") for line in failed.lines]) from None


def _shortened(said: Said, source: Path) -> Said:
    return lambda line: said(line.replace(f"file://{source}", "."))


def _put_on_path(place: Path, declarations: Declarations) -> None:
    """What is not packaged: a directory of modules as it is, a package by a link, without its neighbours."""
    linked = place / LINKED
    paths: list[str] = []
    for one in declarations.locals:
        if one.packaged:
            continue
        directory = place / SOURCE / one.directory
        if one.flat:
            linked.mkdir(exist_ok=True)
            (linked / directory.name).symlink_to(os.path.relpath(directory, linked))
        paths.append(str(linked if one.flat else directory))
    if paths:
        listed = "".join(f"{path}\n" for path in dict.fromkeys(paths))
        (_packages(place / VENV) / "graphyard.pth").write_text(listed)


async def _compile(base: Path) -> None:
    """Compile every module of the base; some packages ship files that no Python can, which is no failure."""
    argv = [str(base / "bin" / "python"), "-m", "compileall", "-q", "-j", "0", str(_packages(base))]
    with contextlib.suppress(Failed):
        await run(argv, base, environment(), lambda _: None)
    (base / COMPILED).touch()


def graft(base: Path, venv: Path, halt: Halt) -> None:
    """Give the environment everything that is installed in the base; what it has already stays as it is."""
    _link_tree(_packages(base), _packages(venv), halt)
    _link_programs(base / "bin", venv / "bin")
    for part in base.iterdir():
        if part.name not in OWN_PARTS and part.is_dir():
            _link_tree(part, venv / part.name, halt)


def _link_tree(from_: Path, to: Path, halt: Halt) -> None:
    if halt():
        raise Halted
    to.mkdir(exist_ok=True)
    there = set(os.listdir(to))
    with os.scandir(from_) as entries:
        for entry in entries:
            target = to / entry.name
            if entry.is_dir(follow_symlinks=False):
                _link_tree(Path(entry.path), target, halt)
            elif entry.name not in there:
                _link(Path(entry.path), target)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        # A file system without hard links, or a file that has all it can have.
        shutil.copy2(path, target, follow_symlinks=False)


def _link_programs(from_: Path, to: Path) -> None:
    """Scripts name the environment they were made for; theirs becomes the new one."""
    old, new = str(from_.parent).encode(), str(to.parent).encode()
    for path in from_.iterdir():
        target = to / path.name
        if path.name.startswith(OWN_PROGRAMS) or target.exists() or not path.is_file():
            continue
        if path.stat().st_size <= LARGEST_SCRIPT and old in (text := path.read_bytes()):
            target.write_bytes(text.replace(old, new))
            target.chmod(stat.S_IMODE(path.stat().st_mode))
        else:
            _link(path, target)


def _packages(venv: Path) -> Path:
    return next((venv / "lib").glob("python3.*")) / "site-packages"
