"""What is wrong with a Valkey by what it shows of itself: pure, and in the same words wherever it runs."""

from dataplane.valkey.client import SETTINGS, Shown, digest
from workflows.drift import AS_WISHED, RUNNING

WHOLE = ("on", "~*", "&*", "+@all")
"""What the one user may, beside its password."""


def running(shown: Shown) -> str:
    """Whether one whose process is there works."""
    if shown.trouble:
        return shown.trouble
    return "a replica of another" if shown.follows else RUNNING


def told(wrong: list[str]) -> str:
    """What is wrong as one text, if anything is."""
    return ", ".join(wrong) or AS_WISHED


def entitled(shown: Shown, password: str | None) -> list[str]:
    """What is wrong with whom a Valkey lets in."""
    wrong = []
    if shown.open:
        wrong.append("not asked for")
    if password is None:
        return wrong
    if not shown.inside:
        wrong.append("another")
    elif not shown.rights:
        wrong.append("one with few rights")
    elif others(shown):
        wrong.append("not the only way in")
    elif not shown.open and rules(shown) != {*WHOLE, f"#{digest(password)}"}:
        hashes = [one for one in rules(shown) if one.startswith("#")]
        wrong.append("not the only one" if len(hashes) > 1 else "one with other rights")
    return wrong


def rules(shown: Shown) -> set[str]:
    """What the default user may, as Valkey lists it."""
    for line in shown.users:
        if line.startswith("user default "):
            return set(line.split()[2:]) - {"sanitize-payload"}
    return set()


def others(shown: Shown) -> list[str]:
    """Users beside the default one."""
    return [line.split()[1] for line in shown.users if not line.startswith("user default ")]


def differing(shown: Shown) -> dict[str, str]:
    """Settings that are not as they should be, with what they are."""
    return {
        name: shown.settings[name]
        for name, wanted in SETTINGS.items()
        if name in shown.settings and shown.settings[name] != wanted
    }
