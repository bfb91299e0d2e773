"""What every table shares: how a row, a moment and a constraint are named and typed.

Moments come from the process, not from the database's transaction clock, so that a row is whole as soon as
it is added and two events of one transaction differ. Enumerations are text with a check: a new word is then
one `ALTER TABLE`, and a reader in psql sees what a caller sees.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ColumnElement, DateTime, Enum, MetaData, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, mapped_column

CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """This moment, with its zone."""
    return datetime.now(UTC)


def within(column: InstrumentedAttribute[str], first: str, end: str | None) -> list[ColumnElement[bool]]:
    """The part of an order from `first` up to and without `end`; None means to the last."""
    return [column >= first] if end is None else [column >= first, column < end]


def storable(text: str) -> str:
    """Postgres takes neither NUL nor half a surrogate pair, and a process may print both."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def words(kind: type[StrEnum], name: str) -> Enum:
    """A column type for a closed list of words, checked by the database."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: Text(),
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB(none_as_null=True),
        list[str]: JSONB(none_as_null=True),
    }


Key = Annotated[UUID, mapped_column(primary_key=True, default=uuid4)]
Counter = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
Moment = Annotated[datetime, mapped_column(default=now)]
