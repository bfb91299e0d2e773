"""The first workspace and its key: what a fresh stack needs before anybody can ask it for anything."""

from pathlib import Path
from uuid import UUID

from dataplane.local.programs import write_private
from records import key, workspace
from records.session import connect, sessions

WORKSPACE = "default"


async def bootstrap(database_url: str, key_file: Path) -> UUID:
    """Make the workspace and see that the key in the file opens it; a lost file gets a fresh key."""
    secret = kept(key_file)
    engine = connect(database_url)
    try:
        async with sessions(engine).begin() as session:
            home = await workspace.named(session, WORKSPACE)
            await key.enter(session, home.id, "made by graphyard up", secret)
            return home.id
    finally:
        await engine.dispose()


def kept(key_file: Path) -> str:
    """The key in the file, made when there is none."""
    if not key_file.exists():
        write_private(key_file, key.mint() + "\n")
    return key_file.read_text().strip()
