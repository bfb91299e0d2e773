"""One deployment that serves, and the hands to hurt it: its files, its processes, its databases."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from langgraph_sdk.client import LangGraphClient
from psycopg.conninfo import make_conninfo

from dataplane.local.slots import SLOTS
from dataplane.local.supervisor import Supervisor
from sealing import Keyring
from tests.drift import agent
from tests.journeys.yard import Yard
from tests.journeys.yard import agent as client_of
from tests.stack import Stack
from workflows import names

Undo = Callable[[], Awaitable[None]]


@dataclass
class Patient:
    """A deployment of a stack, as somebody with root on the machine finds it."""

    stack: Stack
    yard: Yard
    id: str
    name: str
    url: str
    number: int
    replicas: int
    flags: Path
    thread: str = ""
    undo: list[Undo] = field(default_factory=list)
    """What an injury leaves behind on purpose, for after its row."""

    @property
    def uuid(self) -> UUID:
        return UUID(self.id)

    @property
    def home(self) -> Path:
        return self.stack.home

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.home)

    @property
    def short(self) -> str:
        return names.short(self.uuid)

    @property
    def slug(self) -> str:
        return names.slug(self.name, self.uuid)

    @property
    def database(self) -> str:
        """The name of its database, which is its role's too."""
        return names.database(self.name, self.uuid)

    @property
    def redis(self) -> str:
        return names.redis(self.uuid)

    def server(self, index: int = 0) -> str:
        return names.server(self.uuid, self.number, index)

    # -- files ---------------------------------------------------------------

    def conf(self, program: str) -> Path:
        return self.home / "etc" / "conf.d" / f"{program}.conf"

    def spec(self, program: str) -> Path:
        return self.home / "etc" / "specs" / f"{program}.json"

    def rewrite(self, program: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a program's spec as an editor would."""
        said = json.loads(self.spec(program).read_text())
        change(said)
        self.spec(program).write_text(json.dumps(said, indent=1, sort_keys=True))

    def slots(self) -> list[Path]:
        return [self.home / "run" / "up" / f"{self.short}.{slot}" for slot in range(SLOTS)]

    def door(self) -> Path:
        return self.home / "run" / "up" / f"{self.slug}.on"

    def marker(self, number: int | None = None) -> Path:
        return self.home / "run" / "take" / f"{self.short}-{number or self.number}"

    def socket(self, index: int = 0) -> Path:
        return self.home / "run" / "rev" / f"{self.short}-{self.number}-{index}.sock"

    def redis_data(self) -> Path:
        return self.home / "data" / "redis" / self.short

    def bundle(self) -> Path:
        """The directory of the image that it runs."""
        said = json.loads(self.spec(self.server()).read_text())
        return Path(said["argv"][0]).parents[2]

    # -- processes -----------------------------------------------------------

    async def pid(self, program: str) -> int:
        async with asyncio.timeout(30):
            while True:
                state = await self.supervisor.state(program)
                if state and state.pid:
                    return state.pid
                await asyncio.sleep(0.05)

    async def send(self, program: str, number: signal.Signals) -> None:
        os.kill(await self.pid(program), number)

    # -- databases -----------------------------------------------------------

    async def sql(self, *statements: str, inside: bool = False) -> None:
        """As the superuser, each on its own; `{}` is the name of the database and its role."""
        dsn = make_conninfo(self.stack.postgres_admin_dsn, dbname=self.database if inside else "postgres")
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            for statement in statements:
                await connection.execute(statement.replace("{}", f'"{self.database}"').encode())

    async def valkey(self, *words: str) -> str:
        """What its Valkey answers to one command."""
        reader, writer = await asyncio.open_unix_connection(
            self.home / "run" / "redis" / f"{self.short}.sock"
        )
        try:
            for command in (("AUTH", await self.password("redis")), words):
                writer.write(_spoken(*command))
                answer = (await reader.readline()).decode().strip()
                assert not answer.startswith("-"), f"{words[0]}: {answer}"
        finally:
            writer.close()
        return answer

    async def password(self, kind: str) -> str:
        async with await psycopg.AsyncConnection.connect(self.stack.records_dsn) as connection:
            row = await (
                await connection.execute("select credentials from deployments where id = %s", [self.id])
            ).fetchone()
        assert row is not None
        ring = Keyring.load(self.home / "secrets" / "sealing.keys")
        return ring.open_map(row[0], self.id)[kind]

    # -- the agent -----------------------------------------------------------

    @property
    def client(self) -> LangGraphClient:
        return client_of(self.url)

    def flag(self, name: str) -> None:
        """What the agent is to suffer with its next run, or start."""
        assert name in agent.FLAGS
        (self.flags / name).touch()

    async def unflag(self) -> None:
        for name in agent.FLAGS:
            (self.flags / name).unlink(missing_ok=True)

    async def answers(self, text: str = "alive") -> str:
        """A run through the gateway with the official SDK."""
        said = await self.client.runs.wait(None, "patient", input={"text": text})
        assert isinstance(said, dict)
        found: str = said["result"]
        return found

    async def remember(self) -> None:
        """Put down what must be there after every injury."""
        thread = await self.client.threads.create()
        self.thread = thread["thread_id"]
        await self.client.runs.wait(self.thread, "patient", input={"text": f"of {self.name}"})
        await self.client.store.put_item(["drift", self.short], "kept", {"text": self.name})

    @property
    def remembered(self) -> tuple[str, str]:
        return f"OF {self.name}".upper(), self.name

    async def recall(self) -> tuple[Any, Any]:
        """What is there of it."""
        state = await self.client.threads.get_state(self.thread)
        values = state["values"]
        assert isinstance(values, dict)
        item = await self.client.store.get_item(["drift", self.short], "kept")
        return values.get("result"), item["value"]["text"]

    async def choose(self, policy: str) -> None:
        """What is to be done about drift."""
        await self.yard.call("PATCH", f"/v2/deployments/{self.id}/drift", {"policy": policy})

    async def dismiss(self) -> None:
        """Take away what its injury left behind, and have what was tried forgotten."""
        while self.undo:
            await self.undo.pop()()
        await self.yard.call("POST", f"/v2/deployments/{self.id}/drift/look")


def _spoken(*words: str) -> bytes:
    """A command as Redis takes it."""
    parts = [f"*{len(words)}\r\n".encode()]
    parts += [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"".join(parts)


async def admit(stack: Stack, yard: Yard, name: str, *, replicas: int = 1) -> Patient:
    """A deployment of two revisions whose second serves, with something to remember."""
    flags = stack.home.parent / "flags" / name
    flags.mkdir(parents=True)
    deployment = (await yard.create(name))["id"]
    resources = {"min_scale": replicas, "memory_mb": 1000}
    secrets = {"FLAGS": str(flags)}
    first = await yard.push(deployment, agent.files(name), secrets, resources)
    await yard.deployed(deployment, first)
    second = await yard.revise(
        deployment, secrets=[{"name": key, "value": value} for key, value in {**secrets, "AGE": "2"}.items()]
    )
    found = await yard.deployed(deployment, second)
    patient = Patient(stack, yard, deployment, name, found["url"], number=2, replicas=replicas, flags=flags)
    await patient.remember()
    return patient
