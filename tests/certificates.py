"""An authority of a test's own, and a server that it vouches for."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """One that vouches; `certificate` is its own, by which others know it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the house")])
        root = _certificate(self._name, self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = root.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def vouch(self, name: str) -> tuple[str, str]:
        """A certificate for an address or a name, and its key."""
        own = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(x509.Name([]), self._name, own.public_key()).add_extension(
            x509.SubjectAlternativeName([_general(name)]), critical=True
        )
        return (
            leaf.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
            own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )

    def server(self, folder: Path, name: str) -> ssl.SSLContext:
        """How a server of that address or name shows who it is."""
        shown = folder / "server.pem"
        shown.write_text("".join(self.vouch(name)))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(shown)
        return context


def vouched(folder: Path, address: str) -> tuple[str, ssl.SSLContext]:
    """An authority's certificate, and how a server at that address shows one of its making."""
    authority = Authority()
    return authority.certificate, authority.server(folder, address)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )
