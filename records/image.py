"""Images and the builds that made or found them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, now, words
from records.deployment import Deployment
from records.revision import OPEN, Revision
from workflows import shapes
from workflows.shapes import RevisionStatus

KEPT_PER_DEPLOYMENT = 10


class BuildOutcome(StrEnum):
    """How a build ended."""

    BUILT = "built"
    REUSED = "reused"
    FAILED = "failed"
    GIVEN_UP = "given_up"


class Image(Base):
    """An image on one plane, by its digest; `collected_at` says that the plane may have dropped it."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(primary_key=True)
    plane: Mapped[str] = mapped_column(primary_key=True)
    source_digest: Mapped[str]
    lock_digest: Mapped[str]
    server: Mapped[str]
    builder: Mapped[str]
    python: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    graphs: Mapped[list[str]]
    created_at: Mapped[Moment]
    collected_at: Mapped[datetime | None]


class Build(Base):
    """The building of one revision's image."""

    __tablename__ = "builds"

    id: Mapped[Key]
    revision_id: Mapped[UUID] = mapped_column(ForeignKey("revisions.id", ondelete="CASCADE"), unique=True)
    image_id: Mapped[str | None]
    reused: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[Moment]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[BuildOutcome | None] = mapped_column(words(BuildOutcome, "outcome"))


async def enter(session: AsyncSession, made: shapes.Image, plane: str) -> None:
    """An image exists on a plane (again)."""
    fields = made.model_dump(exclude={"digest", "reused", "defaults"})
    row = insert(Image).values(id=made.digest, plane=plane, created_at=now(), **fields)
    await session.execute(
        row.on_conflict_do_update(index_elements=["id", "plane"], set_={"collected_at": None})
    )


async def get(session: AsyncSession, digest: str, plane: str) -> Image | None:
    return await session.get(Image, (digest, plane))


async def kept(session: AsyncSession, digest: str, plane: str) -> bool:
    """Whether the plane still has it. The share lock waits for a collection that is being decided, and makes
    the next one wait until this reader's revision can be seen."""
    query = (
        select(Image)
        .where(Image.id == digest, Image.plane == plane, Image.collected_at.is_(None))
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).one_or_none() is not None


async def collect(session: AsyncSession, plane: str) -> list[str]:
    """Decide which images a plane keeps; the others are marked as collected, and answered are the kept ones.

    Marked before they are removed: a revision that wants one meanwhile is built again rather than started
    from files that are about to go.
    """
    everything = select(Image.id).where(Image.plane == plane, Image.collected_at.is_(None)).order_by(Image.id)
    present = set(await session.scalars(everything.with_for_update()))
    needed = present & set(await session.scalars(_needed(plane)))
    await session.execute(
        update(Image).where(Image.plane == plane, Image.id.in_(present - needed)).values(collected_at=now())
    )
    return sorted(needed)


def _needed(plane: str) -> Select[str | None]:
    back = func.row_number().over(partition_by=Revision.deployment_id, order_by=Revision.number.desc())
    deployed = (
        select(Revision.id, back.label("back")).where(Revision.status == RevisionStatus.DEPLOYED).subquery()
    )
    recent = select(deployed.c.id).where(deployed.c.back <= KEPT_PER_DEPLOYMENT)
    return (
        select(Revision.image_id)
        .join(Deployment, Deployment.id == Revision.deployment_id)
        .where(
            Deployment.plane == plane,
            Revision.image_id.is_not(None),
            or_(
                Revision.status.in_(OPEN),
                Revision.id == Deployment.active_revision_id,
                Revision.id.in_(recent),
            ),
        )
    )


async def start_build(session: AsyncSession, revision_id: UUID) -> None:
    """A build began; a repeated rollout's is the same one."""
    row = insert(Build).values(revision_id=revision_id, started_at=now())
    await session.execute(row.on_conflict_do_nothing(index_elements=["revision_id"]))


async def finish_build(
    session: AsyncSession, revision_id: UUID, outcome: BuildOutcome, image_id: str | None = None
) -> None:
    """A build that began has ended; one that ended stays as it was."""
    query = update(Build).where(Build.revision_id == revision_id, Build.finished_at.is_(None))
    reused = outcome is BuildOutcome.REUSED
    await session.execute(query.values(image_id=image_id, reused=reused, finished_at=now(), outcome=outcome))


async def build_of(session: AsyncSession, revision_id: UUID) -> Build | None:
    return (await session.scalars(select(Build).where(Build.revision_id == revision_id))).one_or_none()
