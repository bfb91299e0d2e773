"""Decompression that counts: how much went in, how much came out, and whether anybody still waits for it.

The standard library unpacks first and lets the caller count afterwards, when a bomb has gone off already.
"""

import io
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from workflows.causes import Code, Refused

CHUNK = 1 << 18
BLOCK = tarfile.BLOCKSIZE
LARGEST_HEADER = 1 << 20
MAGIC = b"\x1f\x8b"
RATIO_FROM = 10 * 1024 * 1024

Halt = Callable[[], bool]
"""Asked between chunks: True once nobody waits for the result any more."""


class Halted(Exception):
    """The reading was given up."""


@dataclass(frozen=True)
class Limits:
    """How large an archive may be, packed and unpacked."""

    packed: int
    unpacked: int
    files: int
    ratio: int


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzip file, forward only, counted while they come."""

    def __init__(self, file: BinaryIO, limits: Limits, halt: Halt) -> None:
        self._file, self._limits, self._halt = file, limits, halt
        self._gzip = zlib.decompressobj(wbits=31)
        self._buffer = b""
        self._input = b""
        self._packed = self._position = self._out = 0
        self._begun = self._ended = False
        self.last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        if position < self._position:
            raise tarfile.ReadError("it leads backwards")
        while self._position < position:
            if not self._take(min(position - self._position, CHUNK)):
                break
        return self._position

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > LARGEST_HEADER:
            raise Refused(
                Code.ARCHIVE_UNSAFE, "The archive holds a header of more than a megabyte.", "Pack it anew."
            )
        parts = []
        while size > 0 and (part := self._take(size)):
            parts.append(part)
            size -= len(part)
        whole = b"".join(parts)
        if len(whole) == BLOCK:
            self.last = whole
        return whole

    def _take(self, most: int) -> bytes:
        if not self._buffer:
            self._buffer = self._more()
        part, self._buffer = self._buffer[:most], self._buffer[most:]
        self._position += len(part)
        return part

    def _more(self) -> bytes:
        while not self._ended:
            if self._halt():
                raise Halted
            if not self._input:
                self._input = self._file.read(CHUNK)
                self._begun = self._begun or self._input.startswith(MAGIC)
                self._packed += len(self._input)
                if self._packed > self._limits.packed:
                    raise too_large("packed", self._limits.packed)
            if self._gzip.eof:
                self._next_part()
                continue
            if not self._input:
                raise unreadable("it ends in the middle; it was cut off on its way")
            try:
                out = self._gzip.decompress(self._input, CHUNK)
            except zlib.error:
                what = "it is damaged" if self._begun else "it is not a gzip file"
                raise unreadable(what) from None
            self._input = self._gzip.unconsumed_tail or self._gzip.unused_data
            self._count(len(out))
            if out:
                return out
        return b""

    def _next_part(self) -> None:
        """After the end of a gzip stream: another one, padding, or nothing; all else is not ours."""
        rest = self._input
        if rest.startswith(MAGIC):
            self._gzip = zlib.decompressobj(wbits=31)
        elif rest.strip(b"\0"):
            raise unreadable("something that is no gzip follows its end")
        else:
            self._ended = not rest
            self._input = b""

    def _count(self, size: int) -> None:
        self._out += size
        if self._out > self._limits.unpacked + BLOCK * 4 * self._limits.files:
            raise too_large("unpacked", self._limits.unpacked)
        if self._out > RATIO_FROM and self._out > self._limits.ratio * self._packed:
            raise Refused(
                Code.ARCHIVE_TOO_LARGE,
                f"The archive unpacks to more than {self._limits.ratio} times its size, "
                "as only decompression bombs do.",
                "Leave generated and empty data out of it (`.dockerignore`).",
            )


def unreadable(why: str) -> Refused:
    return Refused(
        Code.ARCHIVE_UNREADABLE, f"The archive cannot be read: {why}.", "Deploy again to upload it anew."
    )


def too_large(what: str, most: int) -> Refused:
    return Refused(
        Code.ARCHIVE_TOO_LARGE,
        f"The archive is larger than the {most // (1024 * 1024) or 1} MB allowed {what}.",
        "Leave out what the agent does not need (`.dockerignore`): environments, data sets, model weights.",
    )
