"""A container registry of a test's own, on this machine's loopback, and images small enough to make in place."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import httpx
import pytest

KIND = "application/vnd.oci.image.manifest.v1+json"


@asynccontextmanager
async def a_registry(folder: Path, auth: str = "", *, deletes: bool = True) -> AsyncIterator[str]:
    """Its `host:port`; `auth` is that section of its configuration. It lives as long as the block."""
    if shutil.which("docker-registry") is None:
        if os.environ.get("CI"):
            pytest.fail("docker-registry is not installed: in CI nothing may be skipped")
        pytest.skip("docker-registry is not installed")
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    config, log = folder / "registry.yml", folder / "registry.log"
    config.write_text(
        f"""version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: "{folder / "images"}"}}, delete: {{enabled: {str(deletes).lower()}}}}}
http: {{addr: "{place}"}}
{auth}
"""
    )
    with log.open("wb") as out:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=out, stderr=out)
    try:
        async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as asking:
            while True:
                try:
                    await asking.get(f"http://{place}/v2/")
                except httpx.TransportError:
                    assert process.poll() is None, log.read_text()
                    await asyncio.sleep(0.05)
                else:
                    break
        yield place
    finally:
        process.terminate()
        process.wait(10)


async def push(
    place: str,
    repository: str,
    tag: str,
    labels: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """An image of a few bytes, by the registry's own API; its digest."""
    layer = f"layer of {tag}".encode()
    config = json.dumps(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels or {}), "User": "10001"},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": KIND,
            "config": blob("application/vnd.oci.image.config.v1+json", config),
            "layers": [blob("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    ).encode()
    async with httpx.AsyncClient(base_url=f"http://{place}", headers=headers, trust_env=False) as http:
        for content in (layer, config):
            begun = await http.post(f"/v2/{repository}/blobs/uploads/")
            begun.raise_for_status()
            where = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest(content)})
            (await http.put(where, content=content)).raise_for_status()
        put = await http.put(
            f"/v2/{repository}/manifests/{tag}", content=manifest, headers={"Content-Type": KIND}
        )
        put.raise_for_status()
    return digest(manifest)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}
