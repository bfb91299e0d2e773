"""Drift for tests of the api to show: told to the records as a workflow would tell it."""

from datetime import datetime, timedelta
from typing import Any

from api.parts import Parts
from records import drift
from records.base import now
from workflows import names
from workflows.accounts import Account, Finder, Notice
from workflows.drift import MISSING, RUNNING, Difference, Field, Severity
from workflows.mending import State
from workflows.shapes import Wish


def a_loss(wish: Wish, **fields: Any) -> Difference:
    """Of its first server process."""
    values = {
        "field": Field.PROCESS,
        "name": names.server(wish.deployment_id, wish.number, 0),
        "wanted": RUNNING,
        "seen": MISSING,
        "severity": Severity.DOWN,
        "evidence": "Out of memory\nlast words",
    }
    return Difference(**{**values, **fields})


async def account(
    parts: Parts, wish: Wish, *differences: Difference, at: datetime | None = None, **fields: Any
) -> None:
    """One look, noticed a second before."""
    at = at or now()
    values: dict[str, Any] = {
        "deployment_id": wish.deployment_id,
        "revision_id": wish.revision_id,
        "number": wish.number,
        "notice": Notice(by=Finder.WATCH, at=at - timedelta(seconds=1)),
        "at": at,
        "differences": list(differences),
        "state": State.REPAIRING if differences else State.STEADY,
        "why": "It is missing." if differences else "All is as the record says.",
    }
    async with parts.sessions.begin() as session:
        await drift.account(session, Account(**{**values, **fields}))


async def lost_and_mended(parts: Parts, wish: Wish, ended: datetime) -> None:
    """A process that was missing for ten seconds, and noticed after two."""
    began = ended - timedelta(seconds=10)
    loss = a_loss(wish, since=began)
    await account(parts, wish, loss, at=began + timedelta(seconds=3))
    await account(parts, wish, at=ended, treated={loss.key: "fit"})
