"""Lines of an answer that never ends, of any length: the HTTP client's own reader gives up at 128 KiB, which a
Secret in a watch or a print of somebody's agent may well have.
"""

from collections.abc import AsyncIterator

LONGEST = 8 * 1024 * 1024
"""More than any object that a cluster stores."""


async def lines(chunks: AsyncIterator[bytes], longest: int = LONGEST) -> AsyncIterator[bytes]:
    """Each line as it is whole, with its end; of one that is longer only so much. What has no end when the
    answer ends is given as it stands."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            yield b"".join([*parts, chunk[begin : begin + max(0, longest - size)][: end + 1 - begin]])
            parts, size, begin = [], 0, end + 1
        rest = chunk[begin:][: longest - size]
        parts.append(rest)
        size += len(rest)
    if size:
        yield b"".join(parts)
