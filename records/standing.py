"""How a deployment stands to its record: what is to be done about drift, and what came of it."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from records.base import words
from workflows.mending import State
from workflows.shapes import Policy


class Standing:
    """The columns of a deployment that its workflow's accounts keep up to date."""

    policy: Mapped[Policy] = mapped_column(
        words(Policy, "policy"), default=Policy.REPAIR, server_default=Policy.REPAIR.value
    )
    drift_state: Mapped[State] = mapped_column(
        words(State, "drift_state"), default=State.STEADY, server_default=State.STEADY.value
    )
    """As of the last look."""
    drift_why: Mapped[str] = mapped_column(default="", server_default="")
    drift_since: Mapped[datetime | None]
    """When it came to be in this state; None: it never was in another."""
    drift_next_try_at: Mapped[datetime | None]
    drift_looked_at: Mapped[datetime | None]
    """When its plane was last looked at closely; a sweep's glance does not count."""
