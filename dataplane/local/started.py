"""What servers are written down with and were started with, against what is wished, in the words of drift.

Compared are opened values, not sealed texts, and for a process by keyed fingerprints that the launcher left:
a spec that was edited is told from one that was edited and started. What is found is named, never its value.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataplane.images.bundle import Bundle
from dataplane.local.launcher import aspects, opened
from dataplane.local.programs import Program
from dataplane.local.replicas import Replicas
from dataplane.local.supervisor import State
from sealing import Keyring, Unsealable
from workflows.causes import Refused
from workflows.drift import AS_WISHED, Fact, Field
from workflows.shapes import Wish

Note = Mapping[str, Any]
UNREADABLE = (Unsealable, LookupError, TypeError, ValueError, AttributeError)


class Started:
    """The servers of one home, as they were made."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._files = replicas.files

    def wished(self, wish: Wish) -> dict[str, Program]:
        """Each replica as it should be; nothing where the image is gone, which is told elsewhere."""
        try:
            bundle = Bundle.load(self._replicas.home, wish.image or "")
        except (Refused, OSError, ValueError):
            return {}
        return self._replicas.programs(wish, bundle)

    def facts(self, wish: Wish, name: str, state: State | None, program: Program | None) -> Iterator[Fact]:
        """The image and the environment of one replica."""
        spec, note = self._spec(name), self.note(name, state)
        images = [*self._images(spec, note)]
        if images:
            strange = [one for one in images if one != wish.image]
            yield Fact(field=Field.IMAGE, name=name, seen=(strange or images)[0])
        said = [self._files.described(name)]
        if program is not None:
            said += [self.otherwise(program, note), _written(program, spec)]
        if state is not None or spec:
            told = ", ".join(one for one in said if one)
            yield Fact(field=Field.ENVIRONMENT, name=name, seen=told or AS_WISHED)

    def otherwise(self, program: Program, note: Note | None) -> str:
        """What the process was started with and should not have been; empty if nothing, or nobody knows."""
        if note is None:
            return ""
        if note.get("asked") and note.get("spec") != note["asked"]:
            return "started from an edited spec"
        if note.get("shape") != program.shape:
            return ""
        ring, marks = Keyring.load(self._replicas.keys), note.get("marks")
        should = _aspects(json.loads(program.spec()))
        if not isinstance(marks, dict):
            return ""
        return _told(
            "started",
            [
                what
                for what, text in should.items()
                if what in marks and ring.is_of(str(marks[what]), text) is False
            ],
        )

    def note(self, name: str, state: State | None) -> Note | None:
        """What the launcher left word of about the process that runs now."""
        try:
            note = json.loads(self._replicas.note(name).read_bytes())
            return dict(note) if state is not None and note["pid"] == state.pid and note["python"] else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _images(self, spec: Mapping[str, Any], note: Note | None) -> Iterator[str]:
        """The one that runs, then the one that would be started."""
        if note is not None:
            yield _image(self._replicas.home, str(note["python"]))
        argv = spec.get("argv")
        if isinstance(argv, list) and argv:
            yield _image(self._replicas.home, str(argv[0]))

    def _spec(self, name: str) -> dict[str, Any]:
        try:
            spec = json.loads(self._files.read(name) or "{}")
        except (OSError, ValueError):
            return {}
        return spec if isinstance(spec, dict) else {}


def _written(program: Program, spec: Mapping[str, Any]) -> str:
    """In what the written program differs from the wished one, where both are of the same making."""
    if spec.get("shape") != program.shape:
        return ""
    try:
        is_ = _aspects(spec)
    except UNREADABLE:
        return "written down with what cannot be opened"
    should = _aspects(json.loads(program.spec()))
    return _told("written down", [what for what, text in should.items() if is_[what] != text])


def _aspects(spec: Mapping[str, Any]) -> dict[str, str]:
    env = {**spec["env"], **opened(list(spec.get("sealed", [])), spec.get("keys"))}
    return aspects(dict(spec), env)


def _told(verb: str, other: list[str]) -> str:
    """Such as "started with other variables and another memory limit"."""
    named = [f"other {what}" if what == "variables" else f"another {what}" for what in other]
    return f"{verb} with {' and '.join(named)}" if named else ""


def _image(home: Path, python: str) -> str:
    """The image that a Python belongs to."""
    try:
        inside = Path(python).relative_to(home / "images").parts
    except ValueError:
        inside = ()
    return f"sha256:{inside[0]}" if inside else "none of this stack's"
