"""A Valkey's death is told also when it is long back: by its supervisor's log, once it served."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataplane.local.deaths import Deaths
from dataplane.local.fallen import Fallen
from dataplane.local.slots import Slots
from tests.wishes import a_wish
from workflows import names
from workflows.drift import RUNNING, STARTING, Fact, Field
from workflows.shapes import Wish


# Deaths grow old, and the tests of a whole session take long.
@pytest.fixture
def present() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Looks:
    """What a look shows."""

    def __init__(self, seen: str) -> None:
        self.seen = seen

    async def facts(self, wish: Wish) -> list[Fact]:
        return [Fact(field=Field.REDIS, name=names.redis(wish.deployment_id), seen=self.seen)]


@pytest.fixture
def wish(tmp_path: Path, present: datetime) -> Wish:
    """It serves since five minutes ago; its Valkey died before, a minute ago and ten seconds ago."""
    wish = a_wish()
    name, short = names.redis(wish.deployment_id), names.short(wish.deployment_id)
    slots = Slots(tmp_path)
    slots.make()
    slots.lead(short, names.slug(wish.name, wish.deployment_id), 1, 1)
    led = (present - timedelta(minutes=5)).timestamp()
    os.utime(tmp_path / "run" / "up" / f"{short}.0", (led, led), follow_symlinks=False)
    (tmp_path / "logs").mkdir()
    lines = [
        f"{(present - timedelta(seconds=ago)).astimezone():%Y-%m-%d %H:%M:%S},000 WARN exited: {name}"
        " (terminated by SIGKILL; not expected)\n"
        for ago in (400, 60, 10)
    ]
    (tmp_path / "logs" / "supervisord.log").write_text("".join(lines))
    (tmp_path / "logs" / f"{name}.log").write_text("ready to accept connections\n")
    return wish


async def test_deaths_that_are_over(tmp_path: Path, wish: Wish, present: datetime) -> None:
    fallen = Fallen(tmp_path, Looks(RUNNING), Slots(tmp_path), Deaths(tmp_path))
    now, *past = await fallen.facts(wish)
    assert (now.seen, now.past, now.since) == (RUNNING, False, None)
    assert [(one.seen, one.past, one.since) for one in past] == [
        ("SIGKILL", True, present - timedelta(seconds=60)),
        ("SIGKILL", True, present - timedelta(seconds=10)),
    ]
    assert past[0].evidence == "ready to accept connections"


async def test_one_that_is_not_over_is_the_beginning_of_what_is_seen(
    tmp_path: Path, wish: Wish, present: datetime
) -> None:
    fallen = Fallen(tmp_path, Looks(STARTING), Slots(tmp_path), Deaths(tmp_path))
    now, *past = await fallen.facts(wish)
    assert (now.seen, now.since) == (STARTING, present - timedelta(seconds=10))
    assert [one.since for one in past] == [present - timedelta(seconds=60)]
