"""Reading an uploaded archive without believing it: every rule holds while it is read, none only afterwards.

An archive comes from a stranger's machine. It may name files outside itself, hold links and devices, unpack
to a thousand times its size, or stop in the middle. So it is read forward only, through a decompressor that
counts, and the first member that is not a plain file or directory with a sane name ends the reading.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dataplane.images.inflate import CHUNK, Halt, Halted, Limits, Unpacked, too_large, unreadable
from workflows.causes import Code, Refused

LONGEST_PART = 255
LONGEST_PATH = 1024
DEEPEST = 64
KEPT_TEXT = 1 << 20
KEPT_TEXTS = 16 << 20
DECLARING = (".toml", ".cfg", ".txt", ".in", ".json", "setup.py")
"""Ends of names whose contents decide things; no number of other files may crowd them out."""
BROKEN = (tarfile.TarError, EOFError, ValueError, OverflowError, IndexError, RecursionError)
"""What tarfile raises over files that are no tar."""
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
WITHOUT = "Archives may hold plain files and directories only; `langgraph deploy` packs them so."


@dataclass(frozen=True)
class File:
    """One file as the archive has it; the mode is 0644 or 0755, whatever the archive says."""

    mode: int
    size: int
    sha256: str


@dataclass
class Tree:
    """All files of an archive by their path, and the contents of the small ones."""

    files: dict[str, File] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def directories(self) -> set[str]:
        """Every directory that holds a file, `.` included."""
        return {str(parent) for path in self.files for parent in PurePosixPath(path).parents} | {"."}

    def below(self, directory: str) -> list[str]:
        """The files in that directory and deeper, relative to the root."""
        prefix = "" if directory == "." else f"{directory}/"
        return [path for path in self.files if path.startswith(prefix)]

    def digest(self, replaced: Mapping[str, bytes | None]) -> str:
        """Over sorted paths, modes and contents, as they will lie on disk (see `unpack`)."""
        whole = hashlib.sha256()
        for path, file in sorted(self.files.items()):
            sha256 = file.sha256
            if path in replaced:
                if (text := replaced[path]) is None:
                    continue
                sha256 = hashlib.sha256(text).hexdigest()
            whole.update(json.dumps([path, file.mode, sha256]).encode() + b"\n")
        return f"sha256:{whole.hexdigest()}"


def survey(file: BinaryIO, limits: Limits, halt: Halt) -> Tree:
    """Read the whole archive once, keeping names, digests and small contents; nothing touches the disk."""
    tree, kept = Tree(), {True: 0, False: 0}
    for path, mode, size, content in _members(file, limits, halt):
        digest, text = hashlib.sha256(), bytearray()
        declaring = path.endswith(DECLARING)
        keep = size <= KEPT_TEXT and kept[declaring] + size <= KEPT_TEXTS
        for chunk in _chunks(content, halt):
            digest.update(chunk)
            if keep:
                text += chunk
        tree.files[path] = File(mode, size, digest.hexdigest())
        tree.texts.pop(path, None)
        if keep:
            tree.texts[path] = bytes(text)
            kept[declaring] += size
    return tree


def read(file: BinaryIO, limits: Limits, halt: Halt, wanted: set[str], most: int) -> dict[str, bytes]:
    """The contents of some files, those larger than `most` left out."""
    found: dict[str, bytes] = {}
    for path, _, size, content in _members(file, limits, halt):
        if path in wanted and size <= most:
            found[path] = b"".join(_chunks(content, halt))
    return found


def unpack(
    file: BinaryIO, to: Path, limits: Limits, halt: Halt, replaced: Mapping[str, bytes | None]
) -> None:
    """Write the files below `to`, a fresh directory; those in `replaced` otherwise, or not at all."""
    made = {to}
    for path, mode, _, content in _members(file, limits, halt):
        text = replaced.get(path)
        if path in replaced and text is None:
            continue
        target = to / path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.unlink(missing_ok=True)
        # No link is ever made in here, so a path below `to` stays there; the flags say so again.
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as out:
            os.fchmod(fd, mode)
            for chunk in _chunks(content if text is None else io.BytesIO(text), halt):
                out.write(chunk)


def _members(
    file: BinaryIO, limits: Limits, halt: Halt
) -> Iterator[tuple[str, int, int, "tarfile.ExFileObject"]]:
    """Path, mode, size and content of each file; whatever breaks a rule is refused on the spot."""
    file.seek(0)
    stream = Unpacked(file, limits, halt)
    kinds: dict[str, str] = {}
    size = count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r:", errorlevel=1) as tar:
            while (member := tar.next()) is not None:
                count += 1
                if count > limits.files:
                    raise Refused(
                        Code.ARCHIVE_TOO_LARGE,
                        f"The archive holds more than {limits.files} files.",
                        "Leave out what the agent does not need: environments, data (`.dockerignore`).",
                    )
                if member.size < 0:
                    raise tarfile.ReadError("a size below zero")
                path = _path(member)
                _check_kind(member, path, kinds)
                if not member.isreg() or path == ".":
                    continue
                size += member.size
                if size > limits.unpacked:
                    raise too_large("unpacked", limits.unpacked)
                content = tar.extractfile(member)
                assert content is not None
                yield path, 0o755 if member.mode & 0o100 else 0o644, member.size, content  # type: ignore[misc]
        _check_end(stream, count)
    except BROKEN as error:
        raise _broken(error) from None


def _check_kind(member: tarfile.TarInfo, path: str, kinds: dict[str, str]) -> None:
    """Only files and directories, and no path that is both."""
    if member.type in KINDS or member.issparse() or not (member.isreg() or member.isdir()):
        kind = KINDS.get(member.type, "a sparse file" if member.issparse() else "of an unknown kind")
        raise Refused(Code.ARCHIVE_UNSAFE, f"The archive's member '{path}' is {kind}.", WITHOUT)
    kind = "a directory" if member.isdir() else "a file"
    for place, seen in [(path, kind), *((str(up), "a directory") for up in PurePosixPath(path).parents)]:
        if kinds.setdefault(place, seen) != seen:
            raise Refused(
                Code.ARCHIVE_UNSAFE,
                f"The archive has '{place}' both as a file and as a directory (at member '{path}').",
                "Pack it anew.",
            )


def _check_end(stream: Unpacked, count: int) -> None:
    """After the last member: nothing but zeros, up to the gzip's checksum."""
    if not count:
        raise Refused(
            Code.ARCHIVE_UNREADABLE, "The archive is empty.", "Deploy from the directory of `langgraph.json`."
        )
    # tarfile takes a damaged header for the end; the real end is a block of zeros.
    if stream.last.strip(b"\0"):
        raise unreadable("one of its headers is damaged")
    while chunk := stream.read(CHUNK):
        if chunk.strip(b"\0"):
            raise unreadable("something follows the tar file's end")


def _path(member: tarfile.TarInfo) -> str:
    """The member's path below the root, or the refusal of its name."""
    name = member.name
    shown = ascii(name[:80])[1:-1]
    complaint = _complaint(name)
    if complaint:
        raise Refused(Code.ARCHIVE_UNSAFE, f"The archive's member '{shown}' {complaint}.", WITHOUT)
    return str(PurePosixPath(name))


def _complaint(name: str) -> str:
    if not name:
        return "has no name"
    if name.startswith("/"):
        return "has an absolute name"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of the archive ('..')"
    if "\\" in name:
        return "has a backslash in its name"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has control characters in its name"
    try:
        length = len(name.encode())
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    if longest > LONGEST_PART or length > LONGEST_PATH:
        return f"has too long a name ({length} bytes)"
    if len(parts) > DEEPEST:
        return f"lies more than {DEEPEST} directories deep"
    return ""


def _chunks(content: BinaryIO | io.BufferedReader, halt: Halt) -> Iterator[bytes]:
    try:
        while chunk := content.read(CHUNK):
            if halt():
                raise Halted
            yield chunk
    except BROKEN as error:
        raise _broken(error) from None


def _broken(error: Exception) -> Refused:
    """`str(error)` names offsets and header fields, never contents."""
    return unreadable(f"it is not a whole tar file ({str(error)[:100]})")
