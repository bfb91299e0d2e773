"""The stack's own questions to its api, over the socket, so that the gateway may be down."""

from typing import Any

import httpx

from deploy.embedded.home import Home

PAGE = 100


def client(home: Home) -> httpx.AsyncClient:
    """The api as the holder of the stack's own key sees it."""
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(home.api_socket)),
        base_url="http://api",
        headers={"X-Api-Key": home.api_key.read_text().strip()},
        timeout=10,
    )


async def deployments(home: Home) -> list[dict[str, Any]]:
    """Every deployment on record, newest first."""
    found: list[dict[str, Any]] = []
    async with client(home) as api:
        while True:
            answer = await api.get("/v2/deployments", params={"limit": PAGE, "offset": len(found)})
            page = answer.raise_for_status().json()["resources"]
            found += page
            if len(page) < PAGE:
                return found


async def roll_out_anew(home: Home) -> int:
    """Redeploy what serves, for a database server that moved: running servers still hold its old address."""
    serving = [one for one in await deployments(home) if one.get("active_revision_id")]
    async with client(home) as api:
        for one in serving:
            path = f"/v2/deployments/{one['id']}/revisions/{one['active_revision_id']}/redeploy"
            (await api.post(path)).raise_for_status()
    return len(serving)
