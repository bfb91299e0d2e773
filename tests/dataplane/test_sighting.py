"""How a deployment is looked at: what cannot be asked is left out, and servers are not blamed for their databases."""

import asyncio
from datetime import UTC, datetime

import pytest

from dataplane import sighting
from dataplane.local.replica import AWAY
from dataplane.sighting import OF_IMAGES, OF_POSTGRES, OF_REDIS, Found, Look, sighted
from tests.wishes import a_wish
from workflows.drift import MISSING, PRESENT, RUNNING, WHOLE, Fact, Field
from workflows.shapes import Flavour, Wish

AT = datetime(2026, 1, 1, tzinfo=UTC)
OF_SERVERS = frozenset({Field.PROCESS, Field.ANSWER})
ANSWER = Fact(field=Field.ANSWER, name="server", seen=AWAY)
DATABASE = Fact(field=Field.DATABASE, name="gy_agent", seen=PRESENT)
REDIS = Fact(field=Field.REDIS, name="redis", seen=RUNNING)
IMAGE = Fact(field=Field.BUNDLE, name="sha256:1", seen=WHOLE)


class Part:
    """One that is as it is told to be."""

    def __init__(self, *said: Fact, error: Exception | None = None, hangs: bool = False) -> None:
        self.said = [*said]
        self.error = error
        self.hangs = hangs

    async def facts(self, wish: Wish) -> list[Fact]:
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return self.said


async def test_databases_that_are_ours_are_looked_at() -> None:
    look = Look(Part(DATABASE), Part(REDIS))

    async def seen(**fields: object) -> dict[frozenset[Field], list[Fact] | None]:
        return {fields: await part for fields, part in look.databases(a_wish(**fields)).items()}

    assert await seen() == {OF_POSTGRES: [DATABASE], OF_REDIS: [REDIS]}
    assert await seen(custom_postgres=True) == {OF_REDIS: [REDIS]}
    assert await seen(custom_redis=True) == {OF_POSTGRES: [DATABASE]}
    assert await seen(flavour=Flavour.INMEM) == {}


async def test_a_part_that_cannot_be_asked_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sighting, "LOOK_SECONDS", 0.05)
    look, wish = Look(Part(hangs=True), Part(error=OSError("away"))), a_wish()
    assert [await part for part in look.databases(wish).values()] == [None, None]


async def test_what_nobody_can_look_past_is_raised() -> None:
    look = Look(Part(DATABASE), Part(error=LookupError("the cluster is away")), fatal=(LookupError,))
    parts = look.databases(a_wish())
    assert await parts[OF_POSTGRES] == [DATABASE]
    with pytest.raises(LookupError):
        await parts[OF_REDIS]


WELL: Found = {OF_SERVERS: [ANSWER], OF_POSTGRES: [DATABASE], OF_REDIS: [REDIS]}
LOST = DATABASE.model_copy(update={"seen": MISSING})


@pytest.mark.parametrize(
    ("found", "blind", "custom", "blamed"),
    [
        (WELL, False, False, True),
        (WELL, True, False, False),
        (WELL, False, True, False),
        ({**WELL, OF_POSTGRES: [LOST]}, False, False, False),
        ({**WELL, OF_IMAGES: None}, False, False, True),
    ],
    ids=[
        "its own fault",
        "a database was not seen",
        "a database of somebody's",
        "no database",
        "no image seen",
    ],
)
def test_a_server_answers_for_itself_alone(found: Found, blind: bool, custom: bool, blamed: bool) -> None:
    said = sighted(AT, a_wish(custom_postgres=custom), found, blind=blind)
    assert (ANSWER in said.facts) is blamed


def test_only_what_was_seen_counts_as_looked_at() -> None:
    said = sighted(AT, a_wish(), {OF_IMAGES: [IMAGE], OF_POSTGRES: None, OF_REDIS: []}, blind=True)
    assert said.at == AT
    assert said.facts == [IMAGE]
    assert said.looked == sorted({*OF_IMAGES, *OF_REDIS})
