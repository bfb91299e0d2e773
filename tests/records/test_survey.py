"""A page against the records: who is named, who is nudged, and how little that costs."""

from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from records import deployment, drift, inventory, survey, wish
from records.base import now
from records.deployment import Deployment
from records.revision import Revision
from records.session import connect, sessions
from records.specification import Change, Environment
from records.survey import Judged
from tests.rows import a_deployment, a_served, a_workspace, claimed, ended
from workflows import names
from workflows.accounts import Account, Finder, Notice
from workflows.drift import PRIMARY, RUNNING, Fact, Field, compare, wanted
from workflows.mending import State
from workflows.shapes import Flavour, Policy, Resource, ResourceKind, SourceKind, Wish
from workflows.surveys import Seen, SurveyPage

PLANE = "surveyed"
GRACE = timedelta(minutes=10)


def shown(of: Wish, **seen: str | None) -> Seen:
    """All that a plane shows of a revision that serves; by field, what it shows instead, or None: nothing."""
    facts = []
    for (field, name), value in wanted(of).items():
        word = seen.get(field.name.lower(), value)
        if word is not None:
            facts.append(Fact(field=field, name=name, seen=word))
    return Seen(short=names.short(of.deployment_id), facts=facts)


def a_page(*seen: Seen, first: str = "", end: str | None = None, looked: Any = PRIMARY) -> SurveyPage:
    return SurveyPage(plane=PLANE, first=first, end=end, looked=sorted(looked), seen=list(seen))


async def judge(session: AsyncSession, *seen: Seen, **fields: Any) -> Judged:
    return await survey.judge(session, a_page(*seen, **fields), GRACE)


def inspected(judged: Judged) -> list[UUID]:
    return [row.id for row in judged.differing]


async def accounted(
    session: AsyncSession, of: Wish, seen: Seen, state: State, *, next_try: timedelta | None = None
) -> None:
    """As a workflow would write down what it saw."""
    at = now()
    await drift.account(
        session,
        Account(
            deployment_id=of.deployment_id,
            revision_id=of.revision_id,
            number=of.number,
            notice=Notice(by=Finder.SWEEP, at=at),
            at=at,
            differences=compare(of, seen.facts, PRIMARY),
            state=state,
            next_try_at=at + next_try if next_try is not None else None,
        ),
    )


async def a_surveyed(session: AsyncSession, **fields: Any) -> tuple[Deployment, Wish]:
    return await a_served(session, plane=PLANE, name="my-agent", **fields)


async def test_all_is_well(session: AsyncSession) -> None:
    _, of = await a_surveyed(session, replicas=2)
    await a_deployment(session, plane=PLANE)
    await a_deployment(session)
    judged = await judge(session, shown(of))
    assert inspected(judged) == []
    assert judged.verdict.model_dump() == {
        "deployments": 2,
        "differ": [],
        "differing": 0,
        "orphans": 0,
        "remove": [],
    }


TOLD: list[tuple[dict[str, str | None], int, str]] = [
    ({"process": None}, 1, "my-agent lost a replica"),
    ({"process": None}, 2, "my-agent lost all its replicas"),
    ({"process": None, "redis": None}, 1, "my-agent lost a replica and 1 more"),
    ({"process": "suspended"}, 1, "my-agent has a replica that is suspended"),
    ({"process": "dead"}, 2, "my-agent has 2 replicas that are dead"),
    ({"answer": "timed out"}, 2, "my-agent has 2 replicas that do not answer"),
    ({"work": "stands still"}, 1, "my-agent has a replica that does no work"),
    ({"route": None}, 1, "my-agent lost its route"),
    ({"link": None}, 1, "my-agent is led nowhere"),
    ({"link": "revision 7"}, 1, "my-agent is led elsewhere"),
    ({"bundle": "damaged"}, 1, "my-agent has a damaged image"),
    ({"database": None}, 1, "my-agent lost its database"),
    ({"role": None}, 1, "my-agent lost its database role"),
    ({"role": "superuser"}, 1, "my-agent has a database role that is superuser"),
    ({"redis": None}, 1, "my-agent lost its Redis"),
    ({"redis": "suspended"}, 1, "my-agent has a Redis that is suspended"),
    ({"environment": "another"}, 1, "my-agent runs with another environment"),
    ({"persistence": "off"}, 1, "my-agent has a Redis that forgets"),
    ({"route": None, "link": None}, 1, "my-agent lost its route and 1 more"),
]


@pytest.mark.parametrize(("seen", "replicas", "told"), TOLD, ids=[case[2] for case in TOLD])
async def test_what_differs_is_told_in_a_sentence(
    session: AsyncSession, seen: dict[str, str | None], replicas: int, told: str
) -> None:
    owner, of = await a_surveyed(session, replicas=replicas)
    judged = await judge(session, shown(of, **seen))
    assert judged.verdict.differ == [told]
    assert judged.verdict.differing == 1
    assert inspected(judged) == [owner.id]


async def test_one_of_three_replicas(session: AsyncSession) -> None:
    _, of = await a_surveyed(session, replicas=3)
    seen = shown(of)
    seen.facts = [fact for fact in seen.facts if fact.name != names.server(of.deployment_id, 1, 1)]
    assert (await judge(session, seen)).verdict.differ == ["my-agent lost a replica"]


async def test_what_a_plane_does_not_have_at_all(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session, environment=Environment("e", Flavour.INMEM))
    judged = await judge(session)
    assert judged.verdict.differ == ["my-agent lost a replica and 3 more"]
    assert inspected(judged) == [owner.id]
    assert inspected(await judge(session, looked=())) == []
    other = await survey.judge(session, a_page().model_copy(update={"plane": "other"}), GRACE)
    assert (other.verdict.deployments, other.differing) == (0, [])
    assert of.flavour is Flavour.INMEM


async def test_a_page_speaks_of_its_range_only(session: AsyncSession) -> None:
    ids = [UUID(int=index << 124) for index in (1, 5, 9)]
    for each in ids:
        await a_served(session, plane=PLANE, deployment_id=each)
    assert inspected(await judge(session, first="2", end="9")) == [ids[1]]
    assert inspected(await judge(session, first="5", end="90000000")) == [ids[1]]
    assert inspected(await judge(session, first="5")) == ids[1:]


async def paused(session: AsyncSession, owner: Deployment, _: Wish) -> None:
    await drift.set_policy(session, owner.id, Policy.PAUSED)


async def being_deleted(session: AsyncSession, owner: Deployment, _: Wish) -> None:
    await deployment.mark_deleted(session, owner.id)


async def serving_nothing(session: AsyncSession, owner: Deployment, _: Wish) -> None:
    owner.active_revision_id = None
    await session.flush()


@pytest.mark.parametrize("act", [paused, being_deleted, serving_nothing])
async def test_who_is_never_named(session: AsyncSession, act: Callable[..., Any]) -> None:
    owner, of = await a_surveyed(session)
    await act(session, owner, of)
    judged = await judge(session)
    assert (judged.verdict.differing, judged.differing) == (0, [])
    assert judged.verdict.deployments == 1


async def test_a_policy_to_report_is_inspected(session: AsyncSession) -> None:
    owner, _ = await a_surveyed(session)
    await drift.set_policy(session, owner.id, Policy.REPORT)
    assert inspected(await judge(session)) == [owner.id]


def beside(of: Wish, number: int) -> Fact:
    return Fact(field=Field.PROCESS, name=names.server(of.deployment_id, number, 0), seen=RUNNING)


async def test_a_rollout_under_way_is_nobodys_mistake(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    seen = shown(of, link="revision 2")
    seen.facts.append(beside(of, 2))
    assert (await judge(session, seen)).verdict.differing == 1
    row = await claimed(session, await wish.add(session, owner.id, Change(environment=Environment("2"))))
    assert inspected(await judge(session, seen)) == []
    for half in ("revisions 1 and 2 at once", "revision 1, but runs are taken by revision 2"):
        assert inspected(await judge(session, shown(of, link=half))) == []
    # But what serves has to go on serving meanwhile.
    assert inspected(await judge(session, shown(of, process=None))) == [owner.id]
    for lost in (None, "revision 1 in part"):
        assert inspected(await judge(session, shown(of, link=lost))) == [owner.id]
    await ended(session, row)
    await deployment.serve(session, owner, row.key, url="http://here", image_version=None)
    newer = of.model_copy(update={"number": 2, "revision_id": row.id})
    draining = shown(newer)
    draining.facts.append(beside(of, 1))
    assert inspected(await judge(session, draining)) == []
    await inventory.mark_gone(session, owner.id, below=2)
    assert (await judge(session, draining)).verdict.differ == ["my-agent has a replica that nobody asked for"]


async def test_an_end_of_draining_that_nobody_told(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    row = await wish.add(session, owner.id, Change(environment=Environment("2")))
    await ended(session, row)
    await deployment.serve(session, owner, row.key, url="http://here", image_version=None)
    row.status_since = now() - timedelta(hours=2)
    await session.flush()
    seen = shown(of.model_copy(update={"number": 2}))
    seen.facts.append(beside(of, 1))
    assert (await judge(session, seen)).verdict.differing == 1


WAITS: list[tuple[str, State, timedelta | None, dict[str, str | None], bool]] = [
    ("one at work is asked again", State.REPAIRING, None, {"redis": None}, True),
    ("one that waits is left in peace", State.BACKING_OFF, timedelta(minutes=1), {"redis": None}, False),
    ("one that waited is asked", State.BACKING_OFF, timedelta(seconds=-1), {"redis": None}, True),
    ("one that waits, and more differs", State.BACKING_OFF, timedelta(minutes=1), {"redis": None, "route": None}, True),
    ("one that waits, and it is over", State.BACKING_OFF, timedelta(minutes=1), {}, True),
    ("one given up is left in peace", State.GIVEN_UP, None, {"redis": None}, False),
    ("one given up, and more differs", State.GIVEN_UP, None, {"redis": None, "database": None}, True),
    ("one given up, and it is over", State.GIVEN_UP, None, {}, True),
    ("one only reported is left in peace", State.REPORTED, None, {"redis": None}, False),
    ("one only reported, and it is over", State.REPORTED, None, {}, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "next_try", "seen", "asked"), [case[1:] for case in WAITS], ids=[case[0] for case in WAITS]
)
async def test_who_hears_of_it(
    session: AsyncSession,
    state: State,
    next_try: timedelta | None,
    seen: dict[str, str | None],
    asked: bool,
) -> None:
    owner, of = await a_surveyed(session)
    await accounted(session, of, shown(of, redis=None, persistence=None), state, next_try=next_try)
    judged = await judge(session, shown(of, persistence=None, **seen))
    assert inspected(judged) == ([owner.id] if asked else [])
    assert judged.verdict.differing == (1 if seen else 0)


async def test_what_was_not_looked_at_tells_nothing(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    await accounted(session, of, shown(of, password="not the one"), State.GIVEN_UP)
    light = shown(of, password=None)
    assert inspected(await judge(session, light)) == []
    await accounted(session, of, shown(of, password="not the one"), State.REPAIRING)
    assert inspected(await judge(session, light)) == [owner.id]


async def test_a_state_that_nothing_explains_is_looked_into(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    for state in (State.GIVEN_UP, State.REPORTED, State.REPAIRING):
        await accounted(session, of, shown(of), state)
        assert inspected(await judge(session, shown(of))) == [owner.id]
    await accounted(session, of, shown(of), State.STEADY)
    assert inspected(await judge(session, shown(of))) == []


async def test_a_death_is_inspected_until_it_is_told(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    seen = shown(of)
    name = names.server(owner.id, 1, 0)
    dead = Fact(field=Field.PROCESS, name=name, seen="killed", since=now() - timedelta(minutes=3), past=True)
    seen.facts.append(dead)
    judged = await judge(session, seen)
    assert inspected(judged) == [owner.id]
    assert judged.verdict.differing == 0
    await accounted(session, of, seen, State.STEADY)
    assert inspected(await judge(session, seen)) == []


def things(short: str) -> list[Resource]:
    return [
        Resource(kind=ResourceKind.PROCESS, name=f"server-{short}-1-0"),
        Resource(kind=ResourceKind.DATABASE, name=f"gy_agent_{short}", holds_data=True),
    ]


async def test_what_nobody_owns(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    own = shown(of)
    own.resources = things(owner.short)
    elsewhere = await a_deployment(session, plane="elsewhere")
    found = Seen(short="00000001", resources=things("00000001"))
    theirs = Seen(short=elsewhere.short, resources=things(elsewhere.short))
    judged = await judge(session, own, found, theirs)
    assert (judged.verdict.orphans, judged.verdict.remove, judged.differing) == (2, [], [])
    assert (await judge(session, first="1")).verdict.orphans == 0
    assert (await judge(session)).verdict.orphans == 0


async def test_what_a_removal_left_goes_after_its_grace(session: AsyncSession) -> None:
    owner, of = await a_surveyed(session)
    left = Seen(short=owner.short, resources=things(owner.short))
    await deployment.mark_deleted(session, owner.id)
    assert (await judge(session, left)).verdict.orphans == 0
    await deployment.forget(session, owner.id)
    await inventory.mark_gone(session, owner.id)
    judged = await survey.judge(session, a_page(left), timedelta(0))
    assert (judged.verdict.orphans, judged.verdict.remove) == (2, left.resources[:1])
    assert of.deployment_id == owner.id


MANY = 1000
FILL = """
INSERT INTO deployments (id, short, workspace_id, name, source, status, plane, credentials, shareable,
  route_through_gateway, last_number, created_at, updated_at, source_revision_config, source_config,
  environment, flavour, custom_postgres, custom_redis)
SELECT (lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000')::uuid, lpad(to_hex(n), 8, '0'), :owner,
  'agent-' || n, 'internal_source', 'READY', :plane, repeat('c', 200), false, false, 2, now(), now(), '{}',
  '{}', repeat('e', 800), 'pg', false, false
FROM generate_series(1, :many) AS n;
"""
REVISIONS = """
INSERT INTO revisions (id, deployment_id, number, source, status, status_since, detail, created_at,
  updated_at, attended_at, source_revision_config, source_config, environment, flavour, custom_postgres,
  custom_redis)
SELECT gen_random_uuid(), d.id, n, 'internal_source', 'DEPLOYED', now(), '', now(), now(), now(), '{}',
  '{"resource_spec": {"min_scale": 2}}', repeat('e', 800), 'pg', false, false
FROM deployments d, generate_series(1, 2) AS n;
UPDATE deployments d SET active_revision_id = r.id FROM revisions r
WHERE r.deployment_id = d.id AND r.number = 2;
"""


@pytest.fixture
async def full(database: str) -> AsyncIterator[AsyncEngine]:
    engine = connect(database)
    async with sessions(engine).begin() as session:
        owner = (await a_workspace(session)).id
        await session.execute(text(FILL), {"owner": owner, "many": MANY, "plane": PLANE})
        for statement in REVISIONS.strip().split(";")[:-1]:
            await session.execute(text(statement))
    yield engine
    await engine.dispose()


@contextmanager
def counted(engine: AsyncEngine) -> Any:
    """The statements that go to the database meanwhile."""
    said: list[str] = []

    def note(_: Connection, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield said
    event.remove(engine.sync_engine, "before_cursor_execute", note)


async def test_a_page_costs_a_few_round_trips_whatever_its_size(full: AsyncEngine) -> None:
    """The worst page: everything on it differs, and as much again belongs to nobody."""
    most = 8
    for size in (10, MANY):
        looked = [Seen(short=f"{number:08x}") for number in range(1, size + 1)]
        strange = [
            Seen(short=f"{number:08x}", resources=things(f"{number:08x}"))
            for number in range(MANY + 1, MANY + size)
        ]
        end = None if size == MANY else f"{size + 1:08x}"
        page = a_page(*looked, *(strange if end is None else []), end=end)
        async with sessions(full).begin() as session:
            with counted(full) as said:
                judged = await survey.judge(session, page, GRACE)
        assert judged.verdict.differing == len(judged.differing) == size
        assert len(said) <= most, said


async def test_a_page_of_what_is_well_costs_three(full: AsyncEngine) -> None:
    async with sessions(full)() as session:
        rows = await session.execute(text("SELECT id, active_revision_id, name FROM deployments"))
        seen = [
            shown(
                Wish(
                    deployment_id=row.id,
                    revision_id=row.active_revision_id,
                    number=2,
                    name=row.name,
                    source="internal_source",
                    replicas=2,
                    environment="",
                    credentials="",
                )
            )
            for row in rows
        ]
        with counted(full) as said:
            judged = await survey.judge(session, a_page(*seen), GRACE)
    assert (judged.verdict.deployments, judged.verdict.differing) == (MANY, 0)
    assert len(said) == 3, said


async def test_an_image_of_somebody_else_s_brings_its_own_server(session: AsyncSession) -> None:
    row, of = await a_served(session, plane=PLANE)
    serving = await session.get_one(Revision, of.revision_id)
    serving.source, serving.flavour = SourceKind.EXTERNAL_DOCKER, Flavour.INMEM
    await session.flush()
    of = of.model_copy(update={"source": serving.source, "flavour": Flavour.IMAGE})
    assert (Field.DATABASE, names.database(of.name, row.id)) in wanted(of), "whatever its variables say"
    assert inspected(await judge(session, shown(of))) == []
    assert inspected(await judge(session, shown(of, database=None))) == [row.id]
