"""What `graphyard up` and `down` say while they work: a line a part, with its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click


class Progress:
    """Prints; knows how long each thing took and how long it all did."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def part(self, name: str, seconds: float, note: str = "") -> None:
        click.echo(f"  {name:<10} {seconds:6.1f} s  {note}".rstrip())

    def say(self, text: str = "") -> None:
        click.echo(text)

    @contextmanager
    def timed(self, name: str, note: str = "") -> Iterator[None]:
        """One line once the block is through; none if it fails."""
        began = time.monotonic()
        yield
        self.part(name, time.monotonic() - began, note)
