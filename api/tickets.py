"""Upload addresses that authorise themselves: whoever holds one may PUT that one archive for an hour.

The signing key is derived from the oldest sealing key, so there is no further secret to keep, and rotating
(appending a key) leaves the addresses that were given out valid.
"""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from api.problems import Forbidden

VALID = timedelta(hours=1)


class Tickets:
    """Signs and checks upload addresses."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, sealing_keys: Path) -> "Tickets":
        oldest = next(line.split()[1] for line in sealing_keys.read_text().splitlines() if line.strip())
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"graphyard upload tickets")
        return cls(derive.derive(base64.b64decode(oldest)))

    def query(self, upload_id: UUID, expires_at: datetime) -> str:
        """The query part of an upload's address."""
        expires = int(expires_at.timestamp())
        return f"expires={expires}&signature={self._sign(upload_id, expires)}"

    def check(self, upload_id: UUID, expires: str | None, signature: str | None) -> None:
        """Refuse a request without a valid signature of ours."""
        if not expires or not signature or not (expires.isascii() and expires.isdigit()) or len(expires) > 12:
            raise Forbidden(
                "This upload address is incomplete: it needs the expires and signature it was issued with."
            )
        if not hmac.compare_digest(signature.encode(), self._sign(upload_id, int(expires)).encode()):
            raise Forbidden("This upload address was not issued here: its signature does not fit.")
        if int(expires) < time.time():
            raise Forbidden("This upload address has expired; ask upload-url for a new one.")

    def _sign(self, upload_id: UUID, expires: int) -> str:
        return hmac.new(self._key, f"PUT {upload_id} {expires}".encode(), hashlib.sha256).hexdigest()


def expiry() -> datetime:
    """When a ticket that is issued now ends."""
    return datetime.now(UTC) + VALID
