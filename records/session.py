"""The way to the records: one engine a process, a session per transaction."""

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

# Whoever imports only some nouns would flush rows whose foreign keys lead to tables nobody declared.
from records import tables as tables

Sessions = async_sessionmaker[AsyncSession]


def dialed(database_url: str) -> str:
    """The address with our driver in it; any spelling of a Postgres DSN will do."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(f"the records need a postgresql:// address, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def connect(database_url: str, *, pool: int = 10, overflow: int = 10) -> AsyncEngine:
    """An engine that notices when the server was restarted under it."""
    return create_async_engine(
        dialed(database_url),
        pool_size=pool,
        max_overflow=overflow,
        pool_pre_ping=True,
        pool_timeout=10,
        connect_args={"connect_timeout": 5, "application_name": "graphyard"},
        hide_parameters=True,
    )


def sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose rows stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
