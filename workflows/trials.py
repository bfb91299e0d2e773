"""What a deployment's workflow remembers of its repairs, to tell one that holds from one that does not."""

from datetime import datetime

from pydantic import BaseModel


class Trial(BaseModel):
    """Repairs of one difference."""

    rounds: int
    """How many did not hold, or have yet to show that they do."""
    at: datetime
    """When the last one was made."""
    gone_at: datetime | None = None
    """Since when the difference was gone, if it was at the last look."""


class Mending(BaseModel):
    """All that is remembered, from run to run."""

    number: int | None = None
    """The revision all this is about."""
    trials: dict[str, Trial] = {}
    """By difference."""
    open: bool = False
    """Whether something differed when it was last looked at."""
