"""Planes as the control plane knows them: who beats, since when one is silent, what its last sweep said."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, now
from workflows.shapes import PlaneKind
from workflows.surveys import Beat


class Plane(Base):
    """One data plane, from the first sign of life of its worker on."""

    __tablename__ = "planes"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    version: Mapped[str]
    seen_at: Mapped[datetime]
    """Its worker's last sign of life."""
    offline_since: Mapped[datetime | None]
    """When it was last there; None while it is."""
    swept_at: Mapped[datetime | None]
    swept: Mapped[str] = mapped_column(default="")
    """What the last sweep found, in a sentence."""


async def beat(session: AsyncSession, sign: Beat) -> datetime | None:
    """A plane's worker is there. Since when it had been missing, if it had."""
    gone = await session.scalar(select(Plane.offline_since).where(Plane.name == sign.plane).with_for_update())
    known = {"kind": sign.kind, "version": sign.version, "seen_at": now(), "offline_since": None}
    row = insert(Plane).values(name=sign.plane, swept="", **known)
    await session.execute(row.on_conflict_do_update(index_elements=["name"], set_=known))
    return gone


async def named(session: AsyncSession, name: str) -> Plane | None:
    return await session.get(Plane, name, populate_existing=True)


async def kind(session: AsyncSession, name: str) -> PlaneKind:
    """What a plane is made of, as its worker said last; one that never said a word is taken for this machine."""
    said = await session.scalar(select(Plane.kind).where(Plane.name == name))
    return PlaneKind(said) if said in set(PlaneKind) else PlaneKind.LOCAL


async def all_of(session: AsyncSession) -> list[Plane]:
    """Every plane that ever beat, by name."""
    return list(await session.scalars(select(Plane).order_by(Plane.name)))


async def mark_offline(session: AsyncSession, silent_since: datetime) -> list[str]:
    """Planes not heard of after that moment are away; the names of those that were not known to be."""
    query = (
        update(Plane)
        .where(Plane.offline_since.is_(None), Plane.seen_at < silent_since)
        .values(offline_since=Plane.seen_at)
        .returning(Plane.name)
    )
    return sorted((await session.execute(query)).scalars())


async def swept(session: AsyncSession, name: str, sentence: str) -> None:
    """A sweep of that plane is over; one that never beat is not known here."""
    await session.execute(update(Plane).where(Plane.name == name).values(swept_at=now(), swept=sentence))
