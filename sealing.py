"""Secrets at rest and on the way: sealed with AES-GCM, each sealed value naming the key it needs.

At the root because both sides use it and a plane may not import the records. A sealed value is bound to
its owner (a deployment's id): copied to another deployment's row it does not open.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME = 1 << 20


class Unsealable(Exception):
    """A sealed value that no key here opens; it never carries the value."""


class Keyring:
    """The keys that open, the newest of which seals.

    The file holds one key a line, `<id> <base64 of 32 bytes>`, oldest first, so rotation is appending a line.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._derived = {
            name: hmac.digest(key, b"graphyard fingerprint", hashlib.sha256) for name, key in keys.items()
        }
        self._newest = list(keys)[-1]

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
        return cls({name: base64.b64decode(key) for name, key in lines})

    @staticmethod
    def create(path: Path) -> None:
        """Make the file with one fresh key, unless it is there; mode 0600 from its first byte on."""
        line = f"k{secrets.token_hex(4)} {base64.b64encode(AESGCM.generate_key(256)).decode()}\n"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(fd, "w") as file:
            file.write(line)

    def seal(self, text: str, owner: str, *, steady: bool = False) -> str:
        """`steady` seals the same text for the same owner the same way every time, for what is compared as a
        file; it tells those who see two such files whether they say the same, and nothing else."""
        nonce = self._mark(self._newest, f"seal {owner} {text}")[:12] if steady else os.urandom(12)
        body = self._ciphers[self._newest].encrypt(nonce, text.encode(), owner.encode())
        return f"{self._newest}.{base64.urlsafe_b64encode(nonce + body).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        try:
            name, body = sealed.split(".", 1)
            raw = base64.urlsafe_b64decode(body)
            return self._ciphers[name].decrypt(raw[:12], raw[12:], owner.encode()).decode()
        except (KeyError, ValueError, InvalidTag) as error:
            raise Unsealable(f"a sealed value of {owner} cannot be opened with the keys here") from error

    def seal_map(self, values: Mapping[str, str], owner: str, *, steady: bool = False) -> str:
        return self.seal(json.dumps(dict(values)), owner, steady=steady)

    def open_map(self, sealed: str, owner: str) -> dict[str, str]:
        opened: dict[str, str] = json.loads(self.open(sealed, owner))
        return opened

    def fingerprint(self, text: str) -> str:
        """By which a text is known again without being told: nobody who lacks the key can even try guesses."""
        return f"{self._newest}.{self._mark(self._newest, f'mark {text}').hex()[:32]}"

    def is_of(self, fingerprint: str, text: str) -> bool | None:
        """Whether the fingerprint is that text's; None if its key is not here any more."""
        name, _, mark = fingerprint.partition(".")
        if name not in self._derived:
            return None
        return hmac.compare_digest(mark, self._mark(name, f"mark {text}").hex()[:32])

    def _mark(self, name: str, text: str) -> bytes:
        return hmac.digest(self._derived[name], text.encode(), hashlib.sha256)

    def seal_frame(self, chunk: bytes, owner: str, position: int) -> bytes:
        """One frame of a sealed file; none can be swapped, dropped from the middle or reused elsewhere."""
        nonce = os.urandom(12)
        body = self._ciphers[self._newest].encrypt(nonce, chunk, f"{owner}#{position}".encode())
        head = self._newest.encode().ljust(16, b"\0")
        return head + len(nonce + body).to_bytes(4, "big") + nonce + body

    def open_frames(self, file: BinaryIO, owner: str) -> Iterator[bytes]:
        """The chunks of a sealed file, in order. A cut tail is no error: the caller checks the digest."""
        position = 0
        while head := file.read(20):
            name, size = head[:16].rstrip(b"\0").decode(), int.from_bytes(head[16:], "big")
            raw = file.read(size)
            try:
                yield self._ciphers[name].decrypt(raw[:12], raw[12:], f"{owner}#{position}".encode())
            except (KeyError, InvalidTag) as error:
                raise Unsealable(f"a sealed file of {owner} cannot be opened with the keys here") from error
            position += 1
