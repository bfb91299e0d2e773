"""A deployment whose logs are written by its plane and read by callers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.api.conftest import Yard
from workflows.lines import TOKEN_HEADER

START = datetime(2025, 11, 23, 1, 0, 0, 123_456, UTC)
PLANE = {TOKEN_HEADER: "plane-token"}


class Desk:
    """A deployment with one revision, and lines for it through the internal door."""

    def __init__(self, yard: Yard, made: Any) -> None:
        self.yard = yard
        self.id = made["id"]
        self.revision = made["latest_revision_id"]
        self.short = UUID(self.id).hex[:8]
        self.build = f"/v1/projects/{self.id}/revisions/{self.revision}/build_logs"
        self.deploy = f"/v1/projects/{self.id}/deploy_logs"

    def sent(self, position: int, **fields: Any) -> dict[str, Any]:
        return {
            "deployment": self.short,
            "number": 1,
            "kind": "deploy",
            "replica": "0",
            "at": (START + timedelta(seconds=position)).isoformat(),
            "level": "INFO",
            "message": f"line {position}",
            "stream": f"deploy/{self.short}/1-0.log@x",
            "position": position,
            **fields,
        }

    async def ship(self, *lines: dict[str, Any]) -> Any:
        return await self.yard.ok("POST", "/internal/v1/lines", json={"lines": lines}, headers=PLANE)

    async def read(self, path: str | None = None, **body: Any) -> Any:
        return await self.yard.ok("POST", path or self.deploy, json=body)

    async def messages(self, path: str | None = None, **body: Any) -> list[str]:
        return [entry["message"] for entry in (await self.read(path, **body))["logs"]]


async def opened_desk(yard: Yard) -> Desk:
    """One with a revision, and no lines yet."""
    made = await yard.create()
    await yard.push(made["id"])
    return Desk(yard, await yard.ok("GET", f"/v2/deployments/{made['id']}"))
