"""What a project needs, read from its files without running any of them.

From this follow the input of the resolver and the name of its answer: the same declarations, server, Python
and resolver mean the same lock, which is resolved once and then kept. Local projects are told apart as the
official builder does: with `pyproject.toml` or `setup.py` they are installed, without they go on the path.
"""

import hashlib
import json
import posixpath
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from dataplane.images.archive import Tree
from dataplane.images.config import Project, close, inside
from dataplane.images.servers import ServerPackages
from workflows.causes import Code, Refused

PACKAGED = ("pyproject.toml", "setup.py")
INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)(?:\s+|=)(\S+)")
EXTRAS = re.compile(r"(?P<path>.*?)\[(?P<extras>[A-Za-z0-9._,\s-]+)\]")
CREDENTIALS = re.compile(r"https?://[^/\s\"']*@", re.IGNORECASE)
TAKEN = frozenset(
    {"langgraph", "langgraph_api", "langgraph_sdk", "langgraph_runtime", "langchain_core", "langsmith"}
    | {"pydantic", "orjson", "fastapi", "starlette", "uvicorn", "psycopg", "httpx", "redis", "sqlalchemy"}
)
"""Names the server imports itself: a directory of that name on the path would never be found, or worse."""


@dataclass(frozen=True)
class Local:
    """A dependency inside the archive."""

    directory: str
    extras: tuple[str, ...] = ()
    packaged: bool = True
    requirements: str | None = None
    """The requirements.txt of one that is not packaged."""
    flat: bool = False
    """Whether one that is not packaged is a package itself, or a directory that holds some."""


@dataclass(frozen=True)
class Declarations:
    """Everything that decides which packages an image gets."""

    locals: tuple[Local, ...]
    lines: tuple[str, ...]
    """The resolver's input, in terms of the archive's root."""
    needs: SpecifierSet
    """What the local projects say about Python."""
    contents: tuple[tuple[str, str], ...]
    """The files that matter and their digests."""

    def key(self, *also: str) -> str:
        """The name of the answer to this question."""
        whole = json.dumps([self.lines, self.contents, also])
        return hashlib.sha256(whole.encode()).hexdigest()


def declared(tree: Tree, project: Project, server: ServerPackages) -> Declarations:
    """The declarations of a project, or the refusal of what cannot be found or cannot be together."""
    locals_: list[Local] = []
    lines: list[str] = []
    for entry in project.dependencies:
        if entry.startswith("."):
            local = _local(tree, project.base, entry)
            locals_.append(local)
            if local.packaged:
                extras = f"[{','.join(local.extras)}]" if local.extras else ""
                lines.append(f"./{'' if local.directory == '.' else local.directory}{extras}")
            elif local.requirements:
                lines.append(f"-r {local.requirements}")
        else:
            lines.append(_registry(tree, project.base, entry))
    flat = [PurePosixPath(one.directory).name for one in locals_ if one.flat]
    if twice := [name for name in flat if flat.count(name) > 1]:
        raise Refused(
            Code.CONFIG_INVALID,
            f"dependencies: two directories are both the package '{twice[0]}'.",
            "Rename one of them.",
        )
    files: set[str] = set()
    needs = SpecifierSet()
    for local in locals_:
        files |= set(_metadata(tree, local))
        needs &= _python(tree, local)
    for path in sorted(files):
        _check_file(tree, path, server)
    for line in lines:
        _check_server(line, "langgraph.json", server)
    if project.pip_config:
        # Not looked into: it may hold credentials, and it stays behind when the archive is unpacked.
        files.add(project.pip_config)
    contents = tuple((path, tree.files[path].sha256) for path in sorted(files))
    return Declarations(tuple(locals_), (*lines, *project.tools, *server.requirements), needs, contents)


def _local(tree: Tree, base: str, entry: str) -> Local:
    extras: tuple[str, ...] = ()
    place = inside(base, entry)
    if place is not None and place not in tree.directories() and (match := EXTRAS.fullmatch(entry)):
        place = inside(base, match["path"])
        extras = tuple(part.strip() for part in match["extras"].split(","))
    if place is None:
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"dependencies: '{entry}' leads out of the archive.",
            "Deploy from a directory above both, or name what is inside.",
        )
    if place in tree.files:
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"dependencies: '{entry}' is a file; a local dependency is a directory.",
            "Name the directory that holds pyproject.toml, setup.py, requirements.txt or the code.",
        )
    if place not in tree.directories():
        hint = close(place, tree.directories())
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"dependencies: the directory '{entry}' is not in the archive.{hint}",
            "Check the path, and that no ignore file leaves it out.",
        )
    names = {PurePosixPath(path).name for path in tree.below(place) if _parent(path) == place}
    if names & set(PACKAGED):
        return Local(place, extras)
    if extras:
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"dependencies: '{entry}' asks for extras, but no pyproject.toml there defines any.",
            "Add one, or leave the extras out.",
        )
    flat = "__init__.py" in names and place != "."
    _check_importable(tree, place, entry, flat)
    return Local(
        place,
        packaged=False,
        requirements=_join(place, "requirements.txt") if "requirements.txt" in names else None,
        flat=flat,
    )


def _check_importable(tree: Tree, place: str, entry: str, flat: bool) -> None:
    """A directory without packaging must not hide, or be hidden by, what the server imports."""
    if flat:
        tops = {PurePosixPath(place).name}
    else:
        depth = 0 if place == "." else len(PurePosixPath(place).parts)
        inner = (PurePosixPath(path).parts[depth:] for path in tree.below(place) if path.endswith(".py"))
        tops = {parts[0].removesuffix(".py") for parts in inner}
    if clash := sorted(tops & TAKEN):
        raise Refused(
            Code.CONFIG_INVALID,
            f"dependencies: '{clash[0]}' in '{entry}' has the name of a package the server needs.",
            "Rename it.",
        )


def _registry(tree: Tree, base: str, entry: str) -> str:
    try:
        requirement = Requirement(entry)
    except InvalidRequirement:
        place = inside(base, entry)
        hint = f" For the directory write './{entry}'." if place in tree.directories() else ""
        raise Refused(
            Code.CONFIG_INVALID,
            f"dependencies: '{_masked(entry)[:80]}' is neither a directory (those start with a dot) nor a "
            f"requirement.{hint}",
            "Write it as in 'package>=1.0'.",
        ) from None
    if requirement.url and requirement.url.startswith("file:"):
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"dependencies: '{requirement.name}' names a file of your own machine.",
            "Put it into the project and name its directory.",
        )
    return entry


def _metadata(tree: Tree, local: Local) -> Iterator[str]:
    """The files that say what a local project needs. Where code says it, all files that such code reads."""
    if not local.packaged:
        if local.requirements:
            yield from _included(tree, local.requirements, set())
        return
    for name in ("pyproject.toml", "setup.py", "setup.cfg"):
        if (path := _join(local.directory, name)) in tree.files:
            yield path
    if not _static(_pyproject(tree, local)):
        for path in tree.below(local.directory):
            if path.endswith((".txt", ".in", ".cfg", ".toml")) and tree.files[path].size <= 1 << 20:
                yield path


def _static(pyproject: dict[str, Any] | None) -> bool:
    """Whether pyproject.toml itself says what is needed."""
    found = (pyproject or {}).get("project")
    return isinstance(found, dict) and "dependencies" not in (found.get("dynamic") or [])


def _pyproject(tree: Tree, local: Local) -> dict[str, Any] | None:
    path = _join(local.directory, "pyproject.toml")
    if path not in tree.files:
        return None
    try:
        return tomllib.loads(tree.texts.get(path, b"").decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Refused(
            Code.CONFIG_INVALID, f"'{path}' is not valid TOML: {str(error)[:200]}.", "Correct it."
        ) from None


def _python(tree: Tree, local: Local) -> SpecifierSet:
    found = (_pyproject(tree, local) or {}).get("project") if local.packaged else None
    text = found.get("requires-python") if isinstance(found, dict) else None
    try:
        return SpecifierSet(text if isinstance(text, str) else "")
    except InvalidSpecifier:
        raise Refused(
            Code.CONFIG_INVALID,
            f"'{_join(local.directory, 'pyproject.toml')}': requires-python '{text}' is not a version range.",
            "Write it as in '>=3.11'.",
        ) from None


def _included(tree: Tree, path: str, seen: set[str]) -> Iterator[str]:
    """A requirements file and all it includes."""
    if path in seen:
        return
    seen.add(path)
    yield path
    for line in tree.texts.get(path, b"").decode("utf-8", "replace").splitlines():
        if match := INCLUDE.match(line):
            name = match[1]
            if "://" in name:
                raise Refused(
                    Code.DEPENDENCY_MISSING,
                    f"'{path}' includes '{_masked(name)}', which may say something else tomorrow.",
                    "Put the file into the project.",
                )
            target = inside(_parent(path), name)
            if target is None or target not in tree.files:
                raise Refused(
                    Code.DEPENDENCY_MISSING,
                    f"'{path}' includes '{name}', which is not in the archive.",
                    "Check the path, and that no ignore file leaves it out.",
                )
            yield from _included(tree, target, seen)


def _check_file(tree: Tree, path: str, server: ServerPackages) -> None:
    """What can be said at once about a file of requirements."""
    text = tree.texts.get(path, b"").decode("utf-8", "replace")
    if CREDENTIALS.search(text):
        raise Refused(
            Code.CONFIG_INVALID,
            f"'{path}' holds an address with credentials in it; the image would keep them.",
            "Give them to the machine's own registry settings or to its git credential helper.",
        )
    if path.endswith("pyproject.toml"):
        project = tomllib.loads(text.removeprefix("\ufeff")).get("project")
        lines = project.get("dependencies") if isinstance(project, dict) else None
        candidates = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    else:
        candidates = [line.split(" #")[0] for line in text.splitlines()] if path.endswith(".txt") else []
    for line in candidates:
        _check_server(line, path, server)


def _check_server(line: str, where: str, server: ServerPackages) -> None:
    """The server is part of the plane; a project that insists on another one cannot have both."""
    try:
        wanted = Requirement(line.strip())
    except InvalidRequirement:
        return
    if canonicalize_name(wanted.name) != "langgraph-api" or (wanted.marker and not wanted.marker.evaluate()):
        return
    if wanted.url or not wanted.specifier.contains(server.version, prereleases=True):
        raise Refused(
            Code.NOT_ON_THIS_PLANE,
            f"{where} asks for '{line.strip()}', but the '{server.flavour}' server here is {server.name}.",
            "Leave langgraph-api out: the server comes with the plane.",
        )


def _masked(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _join(directory: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(directory, name))
