"""What is sealed opens again only for whom it was sealed, and fingerprints tell sameness and nothing else."""

import base64
import os

import pytest

from sealing import Keyring, Unsealable

OLD, NEW = os.urandom(32), os.urandom(32)
RING = Keyring({"old": OLD, "new": NEW})


def test_a_seal_differs_every_time_unless_it_is_a_steady_one() -> None:
    assert RING.seal("text", "me") != RING.seal("text", "me")
    steady = RING.seal("text", "me", steady=True)
    assert steady == RING.seal("text", "me", steady=True)
    assert steady not in (RING.seal("text!", "me", steady=True), RING.seal("text", "you", steady=True))
    assert RING.open(steady, "me") == "text"
    with pytest.raises(Unsealable):
        RING.open(steady, "you")
    assert (
        base64.urlsafe_b64decode(steady.split(".")[1])[:12]
        != base64.urlsafe_b64decode(RING.seal("other", "me", steady=True).split(".")[1])[:12]
    )


def test_fingerprints_outlive_a_new_key_and_tell_nothing_without_it() -> None:
    before = Keyring({"old": OLD}).fingerprint("text")
    assert RING.is_of(before, "text") is True
    assert RING.is_of(before, "other") is False
    assert Keyring({"new": NEW}).is_of(before, "text") is None
    assert RING.fingerprint("text") != before
    assert RING.fingerprint("text") == Keyring({"new": NEW}).fingerprint("text")
    assert Keyring({"old": NEW}).fingerprint("text") != before
    assert "text" not in before
