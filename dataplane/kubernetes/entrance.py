"""The door as a caller sees it: asked until it leads to the revision that it should."""

import asyncio
import time
from urllib.parse import urlsplit

import httpx

from dataplane.flavours import flavour
from dataplane.kubernetes.site import Door
from dataplane.local.replica import NO_CERTIFICATES, REVISION_HEADER
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import Wish

PATIENCE = 60.0
"""A controller that opens a door for the first time may have to fetch a certificate or an address."""
IN_A_ROW = 5
"""So many answers of the right revision: a controller's own copies follow one after another."""
PAUSE = 0.1


class Entrance:
    """Whoever stands before the servers of one plane."""

    def __init__(self, door: Door, *, patience: float = PATIENCE) -> None:
        self._door = door
        self._patience = patience

    async def until_open(self, wish: Wish) -> None:
        """Ask as a caller would. A door that does not lead here within its time is refused; no connection at all
        is the door's own trouble: it raises as it is, and the step is tried again."""
        public = urlsplit(self._door.public_url)
        path = f"{public.path.rstrip('/')}/d/{names.slug(wish.name, wish.deployment_id)}/ok"
        url = f"{(self._door.address or f'{public.scheme}://{public.netloc}').rstrip('/')}{path}"
        told, right, deadline = "nothing", 0, time.monotonic() + self._patience
        broken: httpx.TransportError | None = None
        # An address of our own has nobody's certificate for the public name.
        verify = NO_CERTIFICATES if self._door.address.startswith("http:") else True
        async with httpx.AsyncClient(timeout=6, trust_env=False, verify=verify) as client:
            while time.monotonic() < deadline:
                try:
                    answer = await client.get(url, headers={"Host": public.netloc})
                except httpx.TransportError as error:
                    broken, right = error, 0
                else:
                    broken = None
                    right = right + 1 if _is_this(answer, wish) else 0
                    revision = answer.headers.get(REVISION_HEADER, "unknown")
                    told = f"{answer.status_code} of revision {revision}: {answer.text[:200]}"
                if right >= IN_A_ROW:
                    return
                await asyncio.sleep(PAUSE)
        if broken is not None:
            raise broken
        raise Refused(
            Code.GATEWAY_FAILED,
            f"The new replicas answer, but not through the door: {url} tells {told}.",
            "Look at the Ingress (or HTTPRoute) of the deployment and at the controller that serves it.",
        )


def _is_this(answer: httpx.Response, wish: Wish) -> bool:
    named = flavour(wish.flavour).entry
    return answer.status_code == 200 and (
        not named or answer.headers.get(REVISION_HEADER) == str(wish.number)
    )
