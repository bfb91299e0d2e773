"""Whether a password is the one that a Postgres verifier was made from, found out without logging in.

A login would say the same only for a role that may log in and still has a connection to spare.
"""

import base64
import binascii
import hashlib
import hmac

SCHEME = "SCRAM-SHA-256"


def proves(verifier: str | None, password: str) -> bool:
    """Whether this verifier lets this password in (RFC 5802). One of another scheme does not count: we never
    made it. The password must be ASCII, as ours are, so that preparing it changes nothing."""
    try:
        scheme, settings, keys = (verifier or "").split("$")
        iterations, salt = settings.split(":")
        stored, server = (base64.b64decode(key, validate=True) for key in keys.split(":"))
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(salt, validate=True), int(iterations)
        )
    except (ValueError, binascii.Error):
        return False
    client = hmac.digest(salted, b"Client Key", "sha256")
    return (
        scheme == SCHEME
        and hmac.compare_digest(hashlib.sha256(client).digest(), stored)
        and hmac.compare_digest(hmac.digest(salted, b"Server Key", "sha256"), server)
    )
