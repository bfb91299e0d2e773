"""What a cluster answers when it does not do as it is asked, in the house's words: pure."""

import contextlib
import json

from workflows.causes import Code, Refused


class Trouble(Exception):
    """The cluster answered with an error that may pass. Its text names objects, never their content."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"the cluster answers {status}: {message[:500]}")


class Gone(Trouble):
    """What a watch or a page went by is too old by now: begin again."""


class Unserved(Trouble):
    """Not an object is missing but its kind, or that version of it: the cluster was upgraded, or is just beginning."""


def told(status: int, raw: bytes) -> Exception:
    """What an answer with an error comes to."""
    message, named = raw[:2000].decode(errors="replace"), False
    with contextlib.suppress(ValueError, AttributeError):
        said = json.loads(raw)
        message, named = said.get("message") or message, bool((said.get("details") or {}).get("name"))
    if status == 404 and not named:
        return Unserved(status, message)
    if status == 410:
        return Gone(status, message)
    if status == 403 and "exceeded quota" in message:
        return Refused(
            Code.QUOTA_EXCEEDED,
            f"The namespace's quota does not allow it: {message[:500]}.",
            "Ask for less (resource_spec), or have the quota raised.",
        )
    if (status == 403 and ("admission" in message or "violates PodSecurity" in message)) or (
        status == 400 and "admission webhook" in message
    ):
        return Refused(
            Code.ADMISSION_DENIED,
            f"The cluster's admission control refuses it: {message[:500]}.",
            "Change what the policy objects to, or ask whoever keeps the cluster for an exception.",
        )
    if status == 422 or "failed to create typed patch object" in message:
        return Refused(
            Code.ADMISSION_DENIED,
            f"The cluster calls it invalid: {message[:500]}.",
            "Correct the resource_spec; what it passes on must be valid for this cluster.",
        )
    return Trouble(status, message)
