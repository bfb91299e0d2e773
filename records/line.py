"""Log lines of builds and servers, in the order in which they became readable.

A line's id is the cursor callers page with, so ids must rise in the order of commits: batches of one
deployment are written one at a time. A line is known by its stream and its position there, so a shipper may
send a batch again.

Within one log moments never go back and never lie ahead: a line that comes late gets the moment of the one
before it. So "from this moment on" and "after this line" mean the same, and a reader who follows by time (as
the CLI does) misses nothing that another replica wrote a blink earlier and that arrived later.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Enum,
    Executable,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    bindparam,
    column,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, now, storable, words
from records.deployment import Deployment
from records.revision import Revision
from workflows.lines import LEVELS

BATCH = 1000
MOST_KEPT = 200_000
"""So many lines of each kind a deployment keeps at least."""
TRIM_EVERY = 10_000


class LogKind(StrEnum):
    """Whose lines: the build's or the servers'."""

    BUILD = "build"
    DEPLOY = "deploy"


class Line(Base):
    """One log line."""

    __tablename__ = "log_lines"
    __table_args__ = (
        UniqueConstraint("stream", "position"),
        Index(None, "deployment_id", "kind", "id"),
        Index(None, "revision_id", "kind", "id"),
        Index(None, "deployment_id", "kind", "at"),
        Index(None, "at", postgresql_using="brin"),
    )

    id: Mapped[Counter]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    revision_id: Mapped[UUID | None]
    kind: Mapped[LogKind] = mapped_column(words(LogKind, "kind"))
    at: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]
    replica: Mapped[str | None]
    stream: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True)
class NewLine:
    """A line as it was shipped; `stream` and `position` say which one it is for ever."""

    kind: LogKind
    at: datetime
    message: str
    stream: str
    position: int
    level: str = "INFO"
    revision_id: UUID | None = None
    replica: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a reader asks for; None does not narrow. `offset` is the cursor of the page before."""

    kind: LogKind
    revision_id: UUID | None = None
    newest_first: bool = False
    limit: int = 50
    offset: int | None = None
    level: str | None = None
    """This level and the graver ones."""
    query: str | None = None
    """A part of the message, in whatever case."""
    run: str | None = None
    """Likewise: the id of a run that the line speaks of."""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Lines, and the cursor behind them. Oldest first there always is one: a log that still grows goes on
    there. Newest first it is None once the beginning was reached."""

    lines: list[Line]
    next_offset: int | None


def _enter() -> Executable:
    """One array a column: six times as fast as one parameter a value, which counts in a flood."""
    table = Line.metadata.tables[Line.__tablename__]
    columns = [it for it in table.columns if it.name != "id"]
    kinds: list[Any] = [Text() if isinstance(it.type, Enum) else it.type for it in columns]
    names = [it.name for it in columns]
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in zip(names, kinds, strict=True)]
    given = (column(name, kind) for name, kind in zip(names, kinds, strict=True))
    rows = func.unnest(*arrays).table_valued(*given).render_derived()
    new = insert(table).from_select(names, select(*(rows.c[name] for name in names)))
    return new.on_conflict_do_nothing(index_elements=["stream", "position"]).returning(table.c.id)


ENTER = _enter()


async def insert_lines(session: AsyncSession, deployment_id: UUID, lines: Sequence[NewLine]) -> int | None:
    """Put lines on record, in this order; those that are there already stay. The number of new ones, or None
    when there is no such deployment (a server's last words after its removal)."""
    # Until the commit no other batch of this deployment gets an id: a reader's cursor can pass none by.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(deployment_id), 0))))
    living = (
        select(Deployment.id).where(Deployment.id == deployment_id).with_for_update(read=True, key_share=True)
    )
    if await session.scalar(living) is None:
        return None
    entered, last = 0, await _last_moments(session, deployment_id)
    for start in range(0, len(lines), BATCH):
        rows = [_row(deployment_id, line, last) for line in lines[start : start + BATCH]]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        ids = (await session.scalars(ENTER, columns)).all()
        entered += len(ids)
        if any(new % TRIM_EVERY == 0 for new in ids):
            await _trim(session, deployment_id)
    return entered


async def page(session: AsyncSession, deployment_id: UUID, wanted: Wanted) -> Page:
    """A page of a deployment's lines, or of one revision's."""
    query = select(Line).where(Line.deployment_id == deployment_id, Line.kind == wanted.kind)
    if wanted.revision_id is not None:
        query = query.where(Line.revision_id == wanted.revision_id)
    if wanted.level is not None:
        query = query.where(Line.level.in_(LEVELS[LEVELS.index(wanted.level) :]))
    for part in (wanted.query, wanted.run):
        if part:
            query = query.where(Line.message.icontains(part, autoescape=True))
    # Moments and ids rise together, so a moment leads to the line where reading begins: filtered by moments, a log
    # would be read from its other end up to there.
    own = select(Line.id).where(Line.deployment_id == deployment_id, Line.kind == wanted.kind).limit(1)
    if wanted.start is not None:
        first = own.where(Line.at >= wanted.start).order_by(Line.at, Line.id)
        query = query.where(Line.id >= first.scalar_subquery())
    if wanted.end is not None:
        last = own.where(Line.at <= wanted.end).order_by(Line.at.desc(), Line.id.desc())
        query = query.where(Line.id <= last.scalar_subquery())
    if wanted.offset is not None:
        query = query.where(Line.id < wanted.offset if wanted.newest_first else Line.id > wanted.offset)
    query = query.order_by(Line.id.desc() if wanted.newest_first else Line.id).limit(wanted.limit)
    lines = list(await session.scalars(query))
    if wanted.newest_first:
        return Page(lines, lines[-1].id if len(lines) == wanted.limit else None)
    return Page(lines, lines[-1].id if lines else (wanted.offset or 0))


async def owners(
    session: AsyncSession, places: Collection[tuple[str, int]], plane: str | None = None
) -> dict[tuple[str, int], tuple[UUID, UUID]]:
    """Whose lines they are: deployment and revision behind the short id and the number a plane knows. With `plane`,
    only what is on that one."""
    query = (
        select(Deployment.short, Revision.number, Deployment.id, Revision.id)
        .join(Revision, Revision.deployment_id == Deployment.id)
        .where(tuple_(Deployment.short, Revision.number).in_(list(places)))
    )
    if plane is not None:
        query = query.where(Deployment.plane == plane)
    return {(row[0], row[1]): (row[2], row[3]) for row in await session.execute(query)}


async def forget(session: AsyncSession, before: datetime, *, limit: int = 20_000) -> int:
    """Drop lines older than a moment, at most so many at once; how many went. Looks only at the lines that
    came first: that needs no further index, and what is old and came late goes when it is its turn."""
    first = select(Line.id, Line.at).order_by(Line.id).limit(limit).subquery()
    old = select(first.c.id).where(first.c.at < before).scalar_subquery()
    gone = await session.execute(delete(Line).where(Line.id.in_(old)).returning(Line.id))
    return len(gone.all())


async def _trim(session: AsyncSession, deployment_id: UUID) -> None:
    """Keep the newest lines of a chatty deployment. Done by whoever gets every ten thousandth id: most often
    the one that writes most."""
    for kind in LogKind:
        own = (Line.deployment_id == deployment_id, Line.kind == kind)
        last = select(Line.id).where(*own).order_by(Line.id.desc()).offset(MOST_KEPT).limit(1)
        if (surplus := await session.scalar(last)) is not None:
            await session.execute(delete(Line).where(*own, Line.id <= surplus))


async def _last_moments(session: AsyncSession, deployment_id: UUID) -> dict[LogKind, datetime]:
    last = {}
    for kind in LogKind:
        query = select(Line.at).where(Line.deployment_id == deployment_id, Line.kind == kind)
        at = await session.scalar(query.order_by(Line.id.desc()).limit(1))
        if at is not None:
            last[kind] = at
    return last


def _row(deployment_id: UUID, line: NewLine, last: dict[LogKind, datetime]) -> dict[str, object]:
    at = min(line.at, now())
    last[line.kind] = at = max(at, last.get(line.kind, at))
    return {
        "deployment_id": deployment_id,
        "revision_id": line.revision_id,
        "kind": line.kind.value,
        "at": at,
        "level": line.level,
        "message": storable(line.message),
        "replica": line.replica,
        "stream": line.stream,
        "position": line.position,
    }
