"""Archives nobody should believe: each is refused by name, while it is read, and leaves nothing behind."""

import contextlib
import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.images.archive import survey
from dataplane.images.inflate import Halted, Limits
from workflows.causes import Code, Refused

LIMITS = Limits(packed=1 << 20, unpacked=1 << 20, files=50, ratio=200)
GOOD = b'{"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}}'


def tar(*members: tuple[dict[str, Any], bytes], fmt: int = tarfile.PAX_FORMAT, good: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=fmt) as archive:
        plain = [({"name": "langgraph.json"}, GOOD), ({"name": "agent.py"}, b"graph = 1\n")] if good else []
        for fields, content in [*plain, *members]:
            info = tarfile.TarInfo()
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = fields.get("size", len(content))
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def packed(*members: tuple[dict[str, Any], bytes], **more: Any) -> bytes:
    return gzip.compress(tar(*members, **more), 1)


def special(kind: bytes, name: str = "thing", link: str = "") -> bytes:
    return packed(({"name": name, "type": kind, "linkname": link}, b""))


def damaged_header() -> bytes:
    raw = bytearray(tar(({"name": "more.txt"}, b"x" * 600)))
    raw[1024 + 1024 + 20] ^= 0xFF
    return gzip.compress(bytes(raw))


def damaged_body() -> bytes:
    good = bytearray(packed(({"name": "noise"}, os.urandom(60_000))))
    good[30_000] ^= 0xFF
    return bytes(good)


def wrong_checksum() -> bytes:
    good = bytearray(packed())
    good[-6] ^= 0xFF
    return bytes(good)


def negative_size() -> bytes:
    """A header whose size is below zero, in the base-256 form, with a right checksum."""
    info = tarfile.TarInfo("agent.txt")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return gzip.compress(tar()[:2048] + bytes(header) + b"\0" * 1024)


def huge_pax() -> bytes:
    return packed(({"name": "x", "pax_headers": {"comment": "y" * (2 << 20)}}, b""))


CASES: list[tuple[str, Callable[[], bytes], Code, str]] = [
    ("traversal", lambda: packed(({"name": "../evil"}, b"x")), Code.ARCHIVE_UNSAFE, "../evil"),
    (
        "traversal inside",
        lambda: packed(({"name": "a/../../evil"}, b"x")),
        Code.ARCHIVE_UNSAFE,
        "a/../../evil",
    ),
    ("absolute", lambda: packed(({"name": "/etc/evil"}, b"x")), Code.ARCHIVE_UNSAFE, "/etc/evil"),
    ("symlink", lambda: special(tarfile.SYMTYPE, "out", "/etc"), Code.ARCHIVE_UNSAFE, "'out' is a symbolic"),
    (
        "hard link",
        lambda: special(tarfile.LNKTYPE, "twin", "agent.py"),
        Code.ARCHIVE_UNSAFE,
        "'twin' is a hard",
    ),
    ("named pipe", lambda: special(tarfile.FIFOTYPE), Code.ARCHIVE_UNSAFE, "'thing' is a named pipe"),
    ("character device", lambda: special(tarfile.CHRTYPE), Code.ARCHIVE_UNSAFE, "'thing' is a character"),
    ("block device", lambda: special(tarfile.BLKTYPE), Code.ARCHIVE_UNSAFE, "'thing' is a block"),
    ("unknown kind", lambda: special(b"Z"), Code.ARCHIVE_UNSAFE, "'thing' is of an unknown kind"),
    (
        "sparse file",
        lambda: packed(
            ({"name": "thin", "pax_headers": {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}}, b"x")
        ),
        Code.ARCHIVE_UNSAFE,
        "'thin' is a sparse",
    ),
    (
        "file becomes directory",
        lambda: packed(({"name": "agent.py/inner"}, b"x")),
        Code.ARCHIVE_UNSAFE,
        "'agent.py' both as a file and as a directory",
    ),
    (
        "directory becomes file",
        lambda: packed(({"name": "a/b"}, b"x"), ({"name": "a"}, b"x")),
        Code.ARCHIVE_UNSAFE,
        "'a' both",
    ),
    (
        "twice, once as directory",
        lambda: packed(({"name": "agent.py", "type": tarfile.DIRTYPE}, b"")),
        Code.ARCHIVE_UNSAFE,
        "'agent.py' both",
    ),
    (
        "NUL in the name",
        lambda: packed(({"name": "x", "pax_headers": {"path": "a\0b"}}, b"")),
        Code.ARCHIVE_UNSAFE,
        "control characters",
    ),
    (
        "newline in the name",
        lambda: packed(({"name": "a\nb"}, b"")),
        Code.ARCHIVE_UNSAFE,
        "control characters",
    ),
    ("backslash", lambda: packed(({"name": "src\\agent.py"}, b"")), Code.ARCHIVE_UNSAFE, "backslash"),
    (
        "not UTF-8",
        lambda: packed(({"name": "caf\udce9"}, b""), fmt=tarfile.GNU_FORMAT),
        Code.ARCHIVE_UNSAFE,
        "not UTF-8",
    ),
    ("long name", lambda: packed(({"name": "n" * 300}, b"")), Code.ARCHIVE_UNSAFE, "too long a name (300"),
    (
        "long path",
        lambda: packed(({"name": "d/" * 60 + "n" * 250 * 4}, b"")),
        Code.ARCHIVE_UNSAFE,
        "too long",
    ),
    ("deep path", lambda: packed(({"name": "d/" * 80 + "f"}, b"")), Code.ARCHIVE_UNSAFE, "directories deep"),
    ("huge header", huge_pax, Code.ARCHIVE_UNSAFE, "header of more than a megabyte"),
    (
        "too many files",
        lambda: packed(*(({"name": f"f{i}"}, b"") for i in range(400))),
        Code.ARCHIVE_TOO_LARGE,
        "more than 300 files",
    ),
    (
        "bomb",
        lambda: packed(({"name": "zeros"}, b"\0" * (30 << 20))),
        Code.ARCHIVE_TOO_LARGE,
        "200 times its size",
    ),
    (
        "claims a large size",
        lambda: gzip.compress(tar()[:2048] + _claim(1 << 40) + b"\0" * 1024),
        Code.ARCHIVE_TOO_LARGE,
        "64 MB allowed unpacked",
    ),
    (
        "too large packed",
        lambda: packed(({"name": "n"}, os.urandom(5 << 20))),
        Code.ARCHIVE_TOO_LARGE,
        "4 MB",
    ),
    ("cut off", lambda: packed(({"name": "n"}, os.urandom(9999)))[:5000], Code.ARCHIVE_UNREADABLE, "cut off"),
    ("cut off at its checksum", lambda: packed()[:-3], Code.ARCHIVE_UNREADABLE, "cut off"),
    ("wrong checksum", wrong_checksum, Code.ARCHIVE_UNREADABLE, "damaged"),
    ("damaged body", damaged_body, Code.ARCHIVE_UNREADABLE, ""),
    ("damaged header", damaged_header, Code.ARCHIVE_UNREADABLE, "headers is damaged"),
    ("negative size", negative_size, Code.ARCHIVE_UNREADABLE, "not a whole tar"),
    ("member cut short", lambda: gzip.compress(tar()[:1700]), Code.ARCHIVE_UNREADABLE, "not a whole tar"),
    (
        "content cut short",
        lambda: gzip.compress(tar(({"name": "n"}, b"x" * 5000))[:3000]),
        Code.ARCHIVE_UNREADABLE,
        "unexpected end of data",
    ),
    ("no gzip", lambda: tar(), Code.ARCHIVE_UNREADABLE, "not a gzip file"),
    ("a zip", lambda: b"PK\3\4" + b"x" * 600, Code.ARCHIVE_UNREADABLE, "not a gzip file"),
    ("zlib", lambda: zlib.compress(tar()), Code.ARCHIVE_UNREADABLE, "not a gzip file"),
    (
        "no tar",
        lambda: gzip.compress(b"<html>not found</html>" * 99),
        Code.ARCHIVE_UNREADABLE,
        "not a whole tar",
    ),
    ("garbage after the gzip", lambda: packed() + b"garbage", Code.ARCHIVE_UNREADABLE, "follows its end"),
    (
        "garbage after the tar",
        lambda: gzip.compress(tar() + b"garbage!" * 64),
        Code.ARCHIVE_UNREADABLE,
        "follows the tar file's end",
    ),
    ("no members", lambda: packed(good=False), Code.ARCHIVE_UNREADABLE, "empty"),
    ("nothing at all", lambda: b"", Code.ARCHIVE_UNREADABLE, "cut off"),
    ("gzip of nothing", lambda: gzip.compress(b""), Code.ARCHIVE_UNREADABLE, "empty"),
]


def _claim(size: int) -> bytes:
    info = tarfile.TarInfo("large")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("make", "code", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_refuses_and_leaves_nothing(
    yard: Any, make: Callable[[], bytes], code: Code, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        await yard.build(make())
    assert refused.value.cause.code == code
    assert says in refused.value.cause.message
    assert refused.value.cause.fix
    assert yard.left() == []
    assert yard.log()[-1]["level"] == "ERROR"
    assert refused.value.cause.message in yard.log()[-1]["message"]


async def test_refuses_what_is_not_what_was_uploaded(yard: Any, project: Any) -> None:
    wish = yard.wish(project())
    yard.box.archives[wish.archive.upload_id] += b"\0"
    with pytest.raises(Refused, match="another one") as refused:
        await yard.images.preflight(wish)
    assert refused.value.cause.code == Code.ARCHIVE_UNREADABLE


async def test_says_when_there_is_no_upload(yard: Any, project: Any) -> None:
    wish = yard.wish(project())
    yard.box.archives.clear()
    with pytest.raises(Refused) as refused:
        await yard.images.preflight(wish)
    assert refused.value.cause.code == Code.SOURCE_MISSING


async def test_normalises_modes_and_takes_the_last_of_two(yard: Any) -> None:
    archive = packed(
        ({"name": "./tool.sh", "mode": 0o6777}, b"#!/bin/sh\n"),
        ({"name": "data//notes.txt", "mode": 0o000}, b"first"),
        ({"name": "data/notes.txt", "mode": 0o600}, b"second"),
        ({"name": "empty", "type": tarfile.DIRTYPE, "mode": 0o7777}, b""),
    )
    bundle = yard.bundle(await yard.build(archive))
    modes = {
        path.relative_to(bundle.source).as_posix(): path.stat().st_mode & 0o7777
        for path in bundle.source.rglob("*")
        if path.is_file()
    }
    assert modes == {"tool.sh": 0o755, "data/notes.txt": 0o644, "agent.py": 0o644, "langgraph.json": 0o644}
    assert (bundle.source / "data/notes.txt").read_text() == "second"


async def test_reads_archives_in_several_parts_with_padding(yard: Any) -> None:
    whole = tar()
    archive = gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + b"\0" * 512
    assert (await yard.images.preflight(yard.wish(archive))).graphs == ["agent"]


async def test_order_and_times_do_not_matter_but_modes_do(yard: Any, pack: Any, project: Any) -> None:
    files = project()
    backwards = dict(reversed(files.items()))
    stamped = packed(({"name": "run.sh", "mtime": 1}, b"x"))
    later = packed(({"name": "run.sh", "mtime": 9, "uid": 7, "uname": "me"}, b"x"))
    executable = packed(({"name": "run.sh", "mode": 0o755}, b"x"))
    plans = [
        (await yard.images.preflight(yard.wish(one))).source_digest
        for one in (files, backwards, stamped, later, executable)
    ]
    assert plans[0] == plans[1]
    assert plans[2] == plans[3]
    assert len(set(plans)) == 3


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_gets_past_the_rules_or_out_of_them(data: st.DataObject) -> None:
    """Whatever is changed in the tar, it is read as files or refused; nothing else comes out."""
    raw = bytearray(tar(({"name": "some/dir/file.txt", "pax_headers": {"comment": "é" * 30}}, b"x" * 700)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Refused):
        tree = survey(io.BytesIO(gzip.compress(bytes(raw), 1)), LIMITS, lambda: False)
        assert all(not path.startswith(("/", "..")) for path in tree.files)


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Refused):
        survey(io.BytesIO(noise), LIMITS, lambda: False)
    with pytest.raises(Refused):
        survey(io.BytesIO(gzip.compress(noise, 1)), LIMITS, lambda: False)


def test_reading_stops_when_nobody_waits() -> None:
    with pytest.raises(Halted):
        survey(io.BytesIO(packed()), LIMITS, lambda: True)
