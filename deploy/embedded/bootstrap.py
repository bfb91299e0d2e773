"""The first workspace and its key: what a fresh installation needs before anybody can ask it for anything."""

from pathlib import Path
from uuid import UUID

from dataplane.local.programs import write_private
from deploy.embedded.troubles import Trouble
from records import key, workspace
from records.session import connect, sessions

WORKSPACE = "default"
SHORTEST = 24


async def bootstrap(database_url: str, secret: str) -> UUID:
    """Make the workspace and see that this key opens it. One that was revoked stays so."""
    if len(secret) < SHORTEST or not secret.isascii() or not secret.isprintable():
        raise Trouble(
            f"The first key must be {SHORTEST} or more printable characters, so that nobody guesses it."
        )
    engine = connect(database_url)
    try:
        async with sessions(engine).begin() as session:
            home = await workspace.named(session, WORKSPACE)
            await key.enter(session, home.id, "made at the start", secret)
            return home.id
    finally:
        await engine.dispose()


def kept(key_file: Path) -> str:
    """The key in the file, made when there is none."""
    if not key_file.exists():
        write_private(key_file, key.mint() + "\n")
    return key_file.read_text().strip()
