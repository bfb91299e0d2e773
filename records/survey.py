"""A page of what a plane has, held against the records: what differs, what nobody owns.

A page costs a handful of queries whatever its size, and reads only what comparing needs. Deciding is the
deployments' own: those that may have something to do are named, and their workflows look closer.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from records import orphan
from records.base import now, within
from records.deployment import Deployment
from records.difference import SAME_DEATH, Drift
from records.image import Image
from records.inventory import Item
from records.orphan import Orphan
from records.revision import OPEN, Revision
from records.settle import flavour, replicas
from records.telling import told
from workflows.drift import PRIMARY, Difference, Fact, Field, compare
from workflows.mending import State
from workflows.shapes import Policy, Wish
from workflows.surveys import SurveyPage, Verdict

NAMED = 3
"""How many deployments of a page are named; the rest is a number."""
SETTLED = (State.STEADY, State.PAUSED)
LEFT_ALONE = (State.GIVEN_UP, State.REPORTED)
RETIRING = timedelta(hours=1)
"""So long after a switch older servers may still be draining."""

Key = tuple[Field, str]


@dataclass(frozen=True)
class Judged:
    """What came of a page, and the deployments to be inspected."""

    verdict: Verdict
    differing: list[Deployment]


class _Row(NamedTuple):
    """One deployment of the page's range, as far as comparing needs it."""

    id: UUID
    short: str
    name: str
    plane: str
    deleted: bool
    policy: Policy
    state: State
    next_try_at: datetime | None
    wish: Wish | None
    """What serves; without anything that is sealed, or that only a build needs."""
    moving: bool
    """A rollout is under way, or what it left is still draining."""


async def judge(session: AsyncSession, page: SurveyPage, grace: timedelta) -> Judged:
    """Compare a page with the records. `grace` is how long an orphan is only reported."""
    owners = await _owners(session, page)
    known = await _on_record(session, page)
    seen = {one.short: one for one in page.seen}
    looked = frozenset(page.looked)
    differ: list[str] = []
    inspect: set[UUID] = set()
    deaths: dict[UUID, list[Difference]] = {}
    for row in owners:
        if row.plane != page.plane or row.deleted or row.wish is None or row.policy is Policy.PAUSED:
            continue
        facts = seen[row.short].facts if row.short in seen else []
        found = _differences(row, row.wish, facts, looked)
        present = [one for one in found if not one.past]
        if present:
            differ.append(told(row.name, present, row.wish.replicas))
        if len(present) < len(found):
            deaths[row.id] = [one for one in found if one.past]
        keys = {(one.field, one.name) for one in present}
        visible = {(fact.field, fact.name) for fact in facts}
        if _worth_a_look(row, keys, known.get(row.id, set()), visible, PRIMARY & looked):
            inspect.add(row.id)
    inspect |= await _untold(session, deaths)
    orphans = await _orphans(session, page, owners)
    return Judged(
        Verdict(
            deployments=sum(row.plane == page.plane for row in owners),
            differ=differ[:NAMED],
            differing=len(differ),
            orphans=len(orphans),
            remove=[row.resource for row in orphan.due(orphans, grace)],
        ),
        await _whole(session, inspect),
    )


async def _orphans(session: AsyncSession, page: SurveyPage, owners: Sequence[_Row]) -> list[Orphan]:
    owned = {row.short for row in owners}
    things = [(one.short, thing) for one in page.seen if one.short not in owned for thing in one.resources]
    return await orphan.enter(session, page.plane, things, first=page.first, end=page.end)


def _differences(row: _Row, wish: Wish, facts: Sequence[Fact], looked: frozenset[Field]) -> list[Difference]:
    found = compare(wish, facts, looked, moving=row.moving)
    return [one for one in found if not (row.moving and _led_on(one, wish.number))]


def _led_on(one: Difference, number: int) -> bool:
    """A rollout leads the door to its own revision before it is on record that this one serves."""
    return one.field is Field.LINK and any(int(other) > number for other in re.findall(r"\d+", one.seen))


def _worth_a_look(
    row: _Row, present: set[Key], known: set[Key], visible: set[Key], looked: frozenset[Field]
) -> bool:
    """Whether its workflow has to hear of this page: of what is new always, of what it knows only when it is
    not waiting for its next try and has not left it alone. What nobody looked at here tells nothing."""
    if present != {key for key in known if key in visible or key[0] in looked}:
        return True
    if row.next_try_at is not None and row.next_try_at > now():
        return False
    if row.state in LEFT_ALONE:
        return not known
    return bool(known) or row.state not in SETTLED


async def _owners(session: AsyncSession, page: SurveyPage) -> list[_Row]:
    """Every deployment of the range, of whichever plane: what it owns is nobody's orphan."""
    newer = aliased(Revision)
    rollout = exists().where(newer.deployment_id == Deployment.id, newer.status.in_(OPEN))
    draining = exists().where(
        Item.deployment_id == Deployment.id,
        Item.gone_at.is_(None),
        Item.number < Revision.number,
        Revision.status_since > now() - RETIRING,
    )
    query = (
        select(
            Deployment.id,
            Deployment.short,
            Deployment.name,
            Deployment.plane,
            Deployment.deleted_at,
            Deployment.policy,
            Deployment.drift_state,
            Deployment.drift_next_try_at,
            Revision.id.label("revision_id"),
            Revision.number,
            Revision.source,
            Revision.flavour,
            Revision.source_config,
            Revision.custom_postgres,
            Revision.custom_redis,
            Image.id.label("image"),
            or_(rollout, draining).label("moving"),
        )
        .outerjoin(Revision, Revision.id == Deployment.active_revision_id)
        .outerjoin(
            Image,
            and_(
                Image.id == Revision.image_id,
                Image.plane == Deployment.plane,
                Image.collected_at.is_(None),
            ),
        )
        .where(*within(Deployment.short, page.first, page.end))
        .order_by(Deployment.short)
    )
    return [
        _Row(
            row.id,
            row.short,
            row.name,
            row.plane,
            row.deleted_at is not None,
            row.policy,
            row.drift_state,
            row.drift_next_try_at,
            _wish(row) if row.revision_id is not None else None,
            row.moving,
        )
        for row in await session.execute(query)
    ]


def _wish(row: Any) -> Wish:
    return Wish(
        deployment_id=row.id,
        revision_id=row.revision_id,
        number=row.number,
        name=row.name,
        source=row.source,
        image=row.image,
        flavour=flavour(row.source, row.flavour),
        replicas=replicas(row.source_config),
        environment="",
        credentials="",
        custom_postgres=row.custom_postgres,
        custom_redis=row.custom_redis,
    )


async def _on_record(session: AsyncSession, page: SurveyPage) -> dict[UUID, set[Key]]:
    """What is known to differ."""
    query = (
        select(Drift.deployment_id, Drift.field, Drift.name)
        .join(Deployment)
        .where(
            Drift.closed_at.is_(None),
            Deployment.plane == page.plane,
            *within(Deployment.short, page.first, page.end),
        )
    )
    known: dict[UUID, set[Key]] = {}
    for deployment_id, field, name in await session.execute(query):
        known.setdefault(deployment_id, set()).add((field, name))
    return known


async def _untold(session: AsyncSession, deaths: dict[UUID, list[Difference]]) -> set[UUID]:
    """The deployments with a past death that is on no record."""
    moments = [one.since for past in deaths.values() for one in past if one.since is not None]
    if not moments:
        return set()
    query = (
        select(Drift)
        .options(defer(Drift.evidence))
        .where(
            Drift.deployment_id.in_(deaths),
            or_(Drift.closed_at.is_(None), Drift.closed_at >= min(moments) - SAME_DEATH),
        )
    )
    rows: dict[UUID, list[Drift]] = {}
    for row in await session.scalars(query):
        rows.setdefault(row.deployment_id, []).append(row)
    return {
        owner
        for owner, past in deaths.items()
        if any(not any(row.tells_of(one) for row in rows.get(owner, [])) for one in past)
    }


async def _whole(session: AsyncSession, ids: Collection[UUID]) -> list[Deployment]:
    if not ids:
        return []
    query = select(Deployment).where(Deployment.id.in_(ids)).order_by(Deployment.short)
    return list(await session.scalars(query))
