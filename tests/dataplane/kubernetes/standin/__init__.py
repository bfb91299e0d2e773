"""An image that stands in for a server, built and pushed once."""

import asyncio
import contextlib
import hashlib
from pathlib import Path

import httpx

from tests.cluster import REGISTRY
from tests.dataplane.kubernetes.toy import digest_of

HERE = Path(__file__).parent
REPOSITORY = "graphyard/standin"


async def pushed() -> str:
    """Its digest. Named by its content, so that it is built when that changes and not again."""
    said = b"".join((HERE / name).read_bytes() for name in ("Containerfile", "serve.py"))
    tag = hashlib.sha256(said).hexdigest()[:16]
    with contextlib.suppress(httpx.HTTPStatusError):
        return await digest_of(REPOSITORY, tag)
    image = f"{REGISTRY}/{REPOSITORY}:{tag}"
    base = f"BASE={REGISTRY}/python:3.11"
    flags = ("--network", "host", "--tls-verify=false", "--quiet")
    await _run("buildah", "bud", *flags, "--build-arg", base, "--tag", image, str(HERE))
    await _run("buildah", "push", "--tls-verify=false", "--quiet", image)
    return await digest_of(REPOSITORY, tag)


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
