"""From what `uv` says to what a person is told: which package, and why, in one sentence."""

import errno
import re
from collections.abc import Sequence

from workflows.causes import Code, Refused

LONGEST = 600
MARK = re.compile(r"^\s*(?:error: |cause: |[×╰╭├│─▶> ]+|hint: )")
CAUSE = re.compile(r"^\s*(?:cause: |[╰├]─▶ ?)")
NOT_FOUND = (
    re.compile(r"Because (?P<name>\S+) was not found"),
    re.compile(r"(?:no versions? of|only [^,]* of) (?P<name>[A-Za-z0-9._-]+)"),
    re.compile(r"Because (?!you |only |there |your )(?P<name>[A-Za-z0-9._-]+)"),
    re.compile(r"you require (?P<name>[A-Za-z0-9._-]+)"),
)
PACKAGE = (
    re.compile(r"[Ff]ailed to (?:download and )?(?:build|install|download|prepare)[^`]*`(?P<name>[^`]+)`"),
    re.compile(r"Failed to fetch[^`]*`(?P<name>[^`]+)`"),
    re.compile(r"Building (?P<name>\S+ @ \S+)"),
    re.compile(r"Hash mismatch for `(?P<name>[^`]+)`"),
)
BACKEND = ("The build backend returned", "Call to `", "Failed to build", "failed to build")
NETWORK = (
    "error sending request",
    "client error (Connect)",
    "dns error",
    "Connection refused",
    "Connection reset",
    "operation timed out",
    "Could not resolve host",
    "invalid peer certificate",
    "tls handshake",
    "HTTP status server error",
    "Network unreachable",
    "Could not connect, are you offline",
)
DENIED = ("401 Unauthorized", "403 Forbidden", "status code 401", "status code 403")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
FULL = ("No space left on device", "os error 28", "Disk quota exceeded")


def of_resolving(lines: Sequence[str]) -> Refused:
    """Why no set of packages could be found."""
    text = "\n".join(lines)
    if known := _anywhere(text):
        return known
    if any(mark in text for mark in BACKEND) or "Git operation failed" in text:
        return _build(lines)
    told = _causes(lines) or _said(lines)
    name = next((found["name"] for one in NOT_FOUND if (found := one.search(told))), "")
    if "Distribution not found at" in text or "does not appear to be a Python project" in text:
        return Refused(
            Code.DEPENDENCY_MISSING,
            f"A dependency on a local path cannot be found: {told}.",
            "Put it into the archive and name its directory in 'dependencies'.",
        )
    if "Couldn't parse requirement" in text or "Failed to parse" in text:
        return Refused(
            Code.RESOLUTION_FAILED, f"The requirements cannot be read: {told}.", "Correct the line."
        )
    what = name.rstrip(",;") or "the dependencies"
    why = told if told.startswith("Because") else f"because {told}"
    return Refused(
        Code.RESOLUTION_FAILED,
        f"Could not resolve {what}: {why}.",
        "Correct or loosen that requirement; the server's own versions are fixed.",
    )


def of_installing(lines: Sequence[str]) -> Refused:
    """Why a resolved package could not be installed."""
    return _anywhere("\n".join(lines)) or _build(lines)


def disk_full() -> Refused:
    """No room on this machine."""
    return Refused(Code.DISK_FULL, "The disk of this machine is full.", "Make room, then deploy again.")


def _anywhere(text: str) -> Refused | None:
    if any(mark in text for mark in FULL):
        return disk_full()
    if any(mark in text for mark in DENIED):
        return Refused(
            Code.REGISTRY_UNREACHABLE,
            f"The package registry refuses access: {_causes(text.splitlines())}.",
            "Check the credentials in the machine's registry settings or in pip_config_file.",
        )
    if any(mark in text for mark in NETWORK):
        return Refused(
            Code.REGISTRY_UNREACHABLE,
            f"The package registry cannot be reached: {_causes(text.splitlines())}.",
            "Check the machine's network, proxy and registry settings, then deploy again.",
        )
    return None


def _build(lines: Sequence[str]) -> Refused:
    text = "\n".join(lines)
    name = next((found["name"] for one in PACKAGE if (found := one.search(text))), "a package")
    last = next((line.strip() for line in reversed(lines) if line.strip(" ^~│╰─")), "no reason was given")
    return Refused(
        Code.INSTALL_FAILED,
        f"Could not install {name}: {_short(MARK.sub('', last))}.",
        "The build log has the whole output.",
    )


def _causes(lines: Sequence[str]) -> str:
    """The chain of causes that uv prints below its error, in one line."""
    parts: list[str] = []
    inside = False
    for line in lines:
        if CAUSE.match(line):
            inside = True
            parts.append(CAUSE.sub("", line).strip())
        elif inside and line.startswith(("         ", "      ")) and line.strip():
            parts[-1] += " " + line.strip()
        else:
            inside = False
    return _short("; ".join(part.rstrip(".") for part in parts))


def _said(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("error:")] or [line for line in lines if line.strip()]
    return _short(MARK.sub("", errors[-1] if errors else "no reason was given"))


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
