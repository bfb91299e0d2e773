"""The stack's own question to its api: which deployments are there.

Over the socket, so that the gateway may be down.
"""

from typing import Any

import httpx

from deploy.embedded.home import Home

PAGE = 100


async def deployments(home: Home) -> list[dict[str, Any]]:
    """Every deployment on record, newest first."""
    headers = {"X-Api-Key": home.api_key.read_text().strip()}
    transport = httpx.AsyncHTTPTransport(uds=str(home.api_socket))
    found: list[dict[str, Any]] = []
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api", headers=headers, timeout=10
    ) as client:
        while True:
            asked = {"limit": PAGE, "offset": len(found)}
            page = (await client.get("/v2/deployments", params=asked)).raise_for_status().json()["resources"]
            found += page
            if len(page) < PAGE:
                return found
