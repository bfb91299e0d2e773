"""What can be put right in a Valkey as it runs; for only its memory may hold all that it was told."""

import structlog

from dataplane.valkey.client import SETTINGS, Answer, Client, Shown, Trouble, digest
from dataplane.valkey.judged import WHOLE, differing, entitled, others

log = structlog.get_logger()


async def doors(client: Client, shown: Shown, password: str, name: str) -> None:
    """Have it repeat nobody, and let in who shows this password and nobody else."""
    if shown.follows:
        await do(client, ("REPLICAOF", "NO", "ONE"), name)
    if entitled(shown, password):
        rules = (*WHOLE, f"#{digest(password)}")
        await do(client, ("ACL", "SETUSER", "default", "reset", *rules), name)
        for user in others(shown):
            await do(client, ("ACL", "DELUSER", user), name)


async def settings(client: Client, shown: Shown, name: str) -> None:
    """Have it keep what is written."""
    for setting in differing(shown):
        await do(client, ("CONFIG", "SET", setting, SETTINGS[setting]), name)


async def do(client: Client, command: tuple[str, ...], name: str) -> Answer:
    """One command; a refusal is told and not raised."""
    [answer] = await client.ask(command)
    if isinstance(answer, Trouble):
        # Never the command itself: it may hold the password.
        log.warning("a Valkey refused", program=name, command=command[0], answer=answer[:120])
    return answer
