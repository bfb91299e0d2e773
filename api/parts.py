"""What an app is made of while it runs: built by the lifespan in one place, handed to whoever asks for it."""

import asyncio
from dataclasses import dataclass
from typing import cast

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from api.meters import Meters
from api.nudge import Nudger
from api.registry_tokens import RegistryTokens
from api.storage import Storage
from api.tickets import Tickets
from records.session import Sessions
from sealing import Keyring
from settings import Settings


@dataclass(frozen=True)
class Parts:
    """The api's clients and keys."""

    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    keyring: Keyring
    nudger: Nudger
    meters: Meters
    tickets: Tickets
    storage: Storage
    registry_tokens: RegistryTokens
    closing: asyncio.Event
    """Set when the server is told to stop, so that open streams end themselves."""


def of(request: Request) -> Parts:
    """The parts of the app that this request came to."""
    return cast(Parts, request.app.state.parts)
