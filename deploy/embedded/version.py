"""Which Graphyard this is: the release, and a digest of the code, by which `up` knows what to start anew."""

import hashlib
import tomllib

from deploy.embedded.home import CHECKOUT

PACKAGES = ("api", "workflows", "activities", "records", "dataplane", "worker", "deploy")


def release() -> str:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


def digest() -> str:
    """Sixteen hex digits over every source file and the lock."""
    sources = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*") if path.is_file()]
    sources = [path for path in sources if "__pycache__" not in path.parts]
    whole = hashlib.sha256()
    for path in sorted([*sources, *CHECKOUT.glob("*.py"), CHECKOUT / "requirements.lock"]):
        whole.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]
