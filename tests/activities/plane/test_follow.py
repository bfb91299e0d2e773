"""Following a plane and showing it whole: every change is told once, every orphan asked for is removed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from activities.plane import follow as following
from activities.plane.follow import follow
from activities.plane.survey import sentence, survey
from dataplane.memory import Memory
from dataplane.memory_upkeep import MemoryUpkeep
from tests.surveys import Nobody
from tests.wishes import a_wish
from workflows import names
from workflows.accounts import Finder, Notice
from workflows.shapes import Resource, ResourceKind, Swept
from workflows.surveys import SurveyPage, Tidings, Verdict

LONG = timedelta(minutes=1)


def hear(said: str) -> None:
    """Somebody to tell."""


class Silent(MemoryUpkeep):
    """A plane that says nothing, not even that nothing happened."""

    async def watch(self) -> AsyncIterator[set[UUID]]:
        await asyncio.Event().wait()
        yield set()


async def test_every_change_is_told() -> None:
    memory, heard = Memory(), Nobody()
    wishes = [a_wish() for _ in range(3)]
    for wish in wishes:
        memory.injuries.lose_route(wish.deployment_id)
    await follow(memory.plane().upkeep, heard.hear, timedelta(seconds=0.01), hear)
    assert {deployment_id for deployment_id, _ in heard.notices} == {one.deployment_id for one in wishes}
    assert {notice.by for _, notice in heard.notices} == {Finder.WATCH}


async def test_one_that_cannot_be_told_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE", 0.01)
    memory, tries, told = Memory(), 0, asyncio.Event()
    memory.injuries.lose_route(uuid4())

    async def tell(deployment_id: UUID, notice: Notice) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionError("Temporal is away")
        told.set()

    task = asyncio.create_task(follow(memory.plane().upkeep, tell, LONG, hear))
    async with asyncio.timeout(5):
        await told.wait()
    task.cancel()
    await asyncio.wait([task])
    assert (tries, task.cancelled()) == (4, True)


async def test_a_plane_that_says_nothing_is_followed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SIGN_OF_LIFE", 0.05)
    with pytest.raises(TimeoutError):
        await follow(Silent("local", Memory()), Nobody().hear, LONG, hear)


async def test_orphans_that_are_named_are_removed() -> None:
    memory = Memory()
    wishes = [a_wish() for _ in range(4)]
    for wish in wishes:
        memory.make_databases(wish)
    strays = [Resource(kind=ResourceKind.PROCESS, name=f"server-0000000{number}-1-0") for number in (1, 2)]
    for stray in strays:
        memory.injuries.add_stray(stray)

    class Strict(Nobody):
        async def judge(self, page: SurveyPage) -> Verdict:
            self.pages.append(page)
            ill = [one.short for one in page.seen if one.short == names.short(wishes[0].deployment_id)]
            return Verdict(
                deployments=len(page.seen),
                differ=[f"{short} lost a replica" for short in ill],
                differing=len(ill),
                orphans=1 if page.first == "" else 0,
                remove=[strays[0]] if page.first == "" else [],
            )

    judge = Strict()
    swept = await survey("local", MemoryUpkeep("local", memory, page=2), judge, hear)
    assert len(judge.pages) == 3
    assert (swept.deployments, swept.differing, swept.orphans) == (6, 1, 1)
    assert memory.injuries.strays == [strays[1]]
    assert judge.tidings == [Tidings(plane="local", sentence=swept.sentence)]


@pytest.mark.parametrize(
    ("swept", "named", "said"),
    [
        (Swept(), [], "0 deployments, none differs"),
        (Swept(deployments=1), [], "1 deployment, none differs"),
        (
            Swept(deployments=412, differing=1),
            ["my-agent lost a replica"],
            "412 deployments, 1 differs: my-agent lost a replica",
        ),
        (
            Swept(deployments=9, differing=5, orphans=1),
            ["a lost its route", "b lost its Redis", "c is led elsewhere"],
            "9 deployments, 5 differ: a lost its route, b lost its Redis, c is led elsewhere, 2 more; 1 orphan",
        ),
        (Swept(deployments=2, orphans=3), [], "2 deployments, none differs; 3 orphans"),
    ],
)
def test_the_sentence(swept: Swept, named: list[str], said: str) -> None:
    assert sentence(swept, named) == said
