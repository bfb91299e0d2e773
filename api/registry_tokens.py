"""Who may do what with a registry that asks us: the distribution project's token protocol.

The registry sends clients here with what they want; they come with a name and a password and get a token that says
what they were granted, signed with a key that the registry trusts. The key and the passwords to push with follow from
the oldest sealing key, so there is no further secret to keep, and several apis give and know the same ones.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

ISSUER = "graphyard"
VALID = 300
"""Seconds that a token is good for: a client asks for another one whenever it needs one."""
PUSHING = timedelta(hours=1)
EVERYTHING = ("pull", "push", "delete")
SCOPE = re.compile(
    r"(?P<kind>[a-z]+)(?:\([a-z]+\))?:(?P<name>[A-Za-z0-9._/:-]{1,400}):(?P<actions>[a-z,*]{1,60})"
)
PASS = re.compile(r"(?P<repository>[a-z0-9._/-]{1,300})\|(?P<expires>[0-9]{1,12})\|(?P<mark>[0-9a-f]{64})")
ORDER = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
"""How many private keys there are on P-256, and one."""
FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Grant:
    """What one may do with a repository; an empty name stands for every one."""

    repository: str
    actions: tuple[str, ...]

    def of(self, name: str, asked: Iterable[str]) -> list[str]:
        """Of what is asked for, what is granted."""
        if self.repository not in ("", name):
            return []
        wanted = set(asked)
        return [one for one in self.actions if one in wanted or "*" in wanted]


class RegistryTokens:
    """Issues and checks passwords to push with, and signs what their holders may do."""

    def __init__(self, key: bytes, accounts: Mapping[str, str] | None = None) -> None:
        self._mark = _derived(key, b"graphyard registry passwords", 32)
        number = int.from_bytes(_derived(key, b"graphyard registry tokens", 48), "big") % (ORDER - 1) + 1
        self._private = ec.derive_private_key(number, ec.SECP256R1())
        self._chain = base64.b64encode(self._certify("graphyard registry tokens")).decode()
        self._accounts = dict(accounts or {})

    @classmethod
    def load(cls, sealing_keys: Path, accounts: Mapping[str, str] | None = None) -> "RegistryTokens":
        oldest = next(line.split()[1] for line in sealing_keys.read_text().splitlines() if line.strip())
        return cls(base64.b64decode(oldest), accounts)

    @property
    def certificate(self) -> str:
        """What the registry has to trust (`auth.token.rootcertbundle`), in PEM. Nothing secret is in it."""
        body = self._certify("graphyard", authority=True)
        return x509.load_der_x509_certificate(body).public_bytes(serialization.Encoding.PEM).decode()

    def password(self, repository: str, valid: timedelta = PUSHING) -> str:
        """A password that opens one repository, for a while."""
        said = f"{repository}|{int((datetime.now(UTC) + valid).timestamp())}"
        return base64.urlsafe_b64encode(f"{said}|{self._marked(said)}".encode()).decode()

    def grant(self, username: str, password: str) -> Grant | None:
        """What somebody with this name and password may do; None for nobody we know."""
        account = self._accounts.get(username, "")
        if account and hmac.compare_digest(account.encode(), password.encode()):
            return Grant("", EVERYTHING)
        try:
            found = PASS.fullmatch(base64.urlsafe_b64decode(password.encode()).decode())
        except ValueError:
            return None
        if found is None:
            return None
        said = f"{found['repository']}|{found['expires']}"
        genuine = hmac.compare_digest(found["mark"], self._marked(said))
        return (
            Grant(found["repository"], ("pull", "push"))
            if genuine and int(found["expires"]) > time.time()
            else None
        )

    def token(self, service: str, username: str, grant: Grant, scopes: Iterable[str]) -> str:
        """A signed word for the registry on what this one may do of what is asked for."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": username,
            "aud": service,
            "exp": now + VALID,
            # The registry's clock may be a little behind ours.
            "nbf": now - 30,
            "iat": now,
            "jti": secrets.token_hex(16),
            "access": [one for scope in scopes if (one := _access(grant, scope))],
        }
        head = {"typ": "JWT", "alg": "ES256", "x5c": [self._chain]}
        said = f"{_part(head)}.{_part(claims)}"
        r, s = decode_dss_signature(self._private.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{said}.{_plain(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _marked(self, said: str) -> str:
        return hmac.new(self._mark, said.encode(), hashlib.sha256).hexdigest()

    def _certify(self, name: str, *, authority: bool = False) -> bytes:
        """The same key under two names: one that vouches, which registries are told, and one that is vouched for."""
        public = self._private.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "graphyard")]))
            .public_key(public)
            .serial_number(1 if authority else 2)
            .not_valid_before(FROM)
            .not_valid_after(UNTIL)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return builder.sign(self._private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _access(grant: Grant, scope: str) -> dict[str, object] | None:
    found = SCOPE.fullmatch(scope)
    if found is None or found["kind"] != "repository":
        return None
    actions = grant.of(found["name"], found["actions"].split(","))
    return {"type": "repository", "name": found["name"], "actions": actions} if actions else None


def _derived(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=purpose).derive(key)


def _part(value: object) -> str:
    return _plain(json.dumps(value, separators=(",", ":")).encode())


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
