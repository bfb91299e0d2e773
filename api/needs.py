"""What endpoints ask for in their signatures, each under one name."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api import access, parts
from api.access import Tenant
from api.parts import Parts

House = Annotated[Parts, Depends(parts.of)]
Caller = Annotated[Tenant, Depends(access.tenant)]


async def _session(house: House) -> AsyncIterator[AsyncSession]:
    async with house.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session, scope="function")]
"""A session that ends before the answer is sent; whoever writes opens the transaction: `session.begin()`."""


@dataclass(frozen=True)
class Window:
    """Which part of a list is asked for."""

    limit: int
    offset: int


def _window(
    limit: Annotated[int, Query(ge=1, le=100, description="At most this many.")] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="Leave out the first so many.")] = 0,
) -> Window:
    return Window(limit, offset)


Page = Annotated[Window, Depends(_window)]
