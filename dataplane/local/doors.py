"""Where callers of one deployment are led and who may take its runs, in the words of drift."""

import stat
from collections.abc import Iterator
from pathlib import Path

from dataplane.local.slots import SLOTS, SOCKET, Slots
from workflows import names
from workflows.drift import OPEN, Fact, Field
from workflows.shapes import Wish

REACHABLE = 0o600


def facts(slots: Slots, wish: Wish) -> Iterator[Fact]:
    """The route and the link, each unless there is nothing of it. Taken while nobody changes any of it."""
    short, slug = names.short(wish.deployment_id), names.slug(wish.name, wish.deployment_id)
    with slots.alone(short):
        door, targets, takers = slots.door(slug), slots.targets(short), slots.takers(short)
    if door:
        yield Fact(field=Field.ROUTE, name=slug, seen=OPEN)
    wanted = [slots.socket(short, wish.number, slot % wish.replicas) for slot in range(SLOTS)]
    if led := leads(targets, short, wish.number, [f"../rev/{socket.name}" for socket in wanted]):
        said = [led, *takes(takers, _number(led)), *_locked(wanted)]
        yield Fact(
            field=Field.LINK, name=slug, seen=", but ".join(said[:2]) + "".join(f", {s}" for s in said[2:])
        )


def leads(targets: list[str], short: str, number: int, wanted: list[str]) -> str:
    """As `revision <number>` if all slots lead to one revision as they should; empty if none leads anywhere."""
    if not any(targets):
        return ""
    if targets == wanted:
        return f"revision {number}"
    found = [SOCKET.fullmatch(Path(target).name) for target in targets]
    numbers = {int(one[2]) if one and one[1] == short else None for one in found}
    if len(numbers) == 1 and None not in numbers and numbers != {number}:
        return f"revision {numbers.pop()}"
    wrong = [
        f"slot {slot} leads {_whither(targets[slot], short)}"
        for slot in range(SLOTS)
        if targets[slot] != wanted[slot]
    ]
    return f"{', '.join(wrong)}"


def takes(takers: set[int], number: int | None) -> Iterator[str]:
    """What is wrong with who may take runs."""
    if number is None:
        return
    if number not in takers:
        yield "it may not take runs"
    for other in sorted(takers - {number}):
        yield f"revision {other} may take runs"


def _locked(sockets: list[Path]) -> Iterator[str]:
    for socket in sorted({*sockets}):
        try:
            mode = stat.S_IMODE(socket.lstat().st_mode)
        except OSError:
            continue
        if mode & REACHABLE != REACHABLE:
            yield f"the socket of replica {socket.stem.rpartition('-')[2]} has mode {mode:04o}"


def _number(led: str) -> int | None:
    word, _, number = led.partition(" ")
    return int(number) if word == "revision" and number.isdecimal() else None


def _whither(target: str, short: str) -> str:
    found = SOCKET.fullmatch(Path(target).name)
    if not found:
        return "nowhere"
    if found[1] != short:
        return "to another deployment"
    return f"to replica {int(found[3])} of revision {int(found[2])}"
