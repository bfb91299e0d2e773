"""A container registry by its HTTP API, as far as a plane needs it: what a name means now, what is there, what an
image says of itself, and taking away. Asked as the OCI distribution specification says, with basic authentication or
the token dance that a registry asks for.

A name's answer decides a revision's fate, so errors are told apart: what is not there and what one may not see is the
caller's to refuse; everything else may pass and is raised as it comes.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from dataplane.kubernetes.logins import Login

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = {"Accept": ", ".join(MANIFESTS)}
LARGEST = 8 << 20
"""Of manifests and configurations: what is larger is none."""
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
DIGEST = "Docker-Content-Digest"


class Denied(Exception):
    """The registry does not let us see it, or says so of what is not there."""


class Unfit(Exception):
    """What the registry answers is not what it should be."""


@dataclass(frozen=True)
class Described:
    """An image as its registry has it."""

    digest: str
    size: int
    labels: Mapping[str, str]
    created: str
    """In RFC 3339; empty if the image does not say."""
    manifest: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)


class RegistryClient:
    """One registry. `transport` is a client without addresses of its own; whoever made it closes it."""

    def __init__(self, http: httpx.AsyncClient, url: str, login: Login | None = None) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._login = login or Login()
        self._tokens: dict[str, str] = {}

    async def resolve(self, repository: str, version: str) -> str | None:
        """The digest that a tag (or a digest) stands for now; None when there is none such."""
        answer = await self._ask("HEAD", repository, f"manifests/{version}", headers=ACCEPT)
        if answer is None:
            return None
        if digest := answer.headers.get(DIGEST, ""):
            return str(digest)
        # The header is the registry's to leave out: then the digest is whatever the bytes say.
        found = await self._manifest(repository, version)
        return found[0] if found else None

    async def describe(self, repository: str, version: str) -> Described | None:
        """What an image says of itself; None when it is not there. Of an index, its first image for Linux."""
        found = await self._manifest(repository, version)
        if found is None:
            return None
        digest, manifest = found
        image = manifest
        if "manifests" in manifest:
            inner = await self._manifest(repository, _first(manifest["manifests"]))
            if inner is None:
                return None
            image = inner[1]
        config = await self._json(repository, f"blobs/{image['config']['digest']}")
        if config is None:
            return None
        return Described(
            digest=digest,
            size=sum(int(layer.get("size", 0)) for layer in image.get("layers", ())),
            labels=(config.get("config") or {}).get("Labels") or {},
            created=str(config.get("created") or ""),
            manifest=image,
            config=config,
        )

    async def tags(self, repository: str) -> AsyncIterator[str]:
        """Every tag of a repository; of one that is not there, none."""
        place: str | None = "tags/list?n=500"
        while place:
            answer = await self._ask("GET", repository, place)
            if answer is None:
                return
            for tag in json.loads(answer.content).get("tags") or ():
                yield tag
            following = answer.links.get("next", {}).get("url", "")
            place = f"tags/list?{following.partition('?')[2]}" if "?" in following else None

    async def relabel(self, repository: str, digest: str, labels: Mapping[str, str], tag: str) -> str | None:
        """The same image with these labels too, under a tag of its own; its digest, or None if it is gone.
        Nothing is moved but two small documents, and the tag comes last: it never names anything half made."""
        found = await self.describe(repository, digest)
        if found is None:
            return None
        inner = {**(found.config.get("config") or {}), "Labels": {**found.labels, **labels}}
        config = json.dumps({**found.config, "config": inner}, separators=(",", ":"), sort_keys=True).encode()
        named = f"sha256:{hashlib.sha256(config).hexdigest()}"
        described = {**found.manifest["config"], "digest": named, "size": len(config)}
        manifest = json.dumps({**found.manifest, "config": described}, separators=(",", ":")).encode()
        await self._upload(repository, named, config)
        kind = found.manifest.get("mediaType") or MANIFESTS[1]
        answer = await self._ask(
            "PUT", repository, f"manifests/{tag}", headers={"Content-Type": kind}, content=manifest, push=True
        )
        if answer is None:
            return None
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    async def delete(self, repository: str, digest: str) -> bool:
        """Take a manifest away, and every tag that leads to it; whether it was there."""
        return await self._ask("DELETE", repository, f"manifests/{digest}", push=True) is not None

    async def _upload(self, repository: str, digest: str, content: bytes) -> None:
        if await self._ask("HEAD", repository, f"blobs/{digest}") is not None:
            return
        begun = await self._ask("POST", repository, "blobs/uploads/", push=True)
        if begun is None:
            raise Unfit(f"the registry takes nothing for {repository}")
        place = httpx.URL(self._url).join(begun.headers["Location"]).copy_merge_params({"digest": digest})
        kind = {"Content-Type": "application/octet-stream"}
        done = await self._send("PUT", place, repository, headers=kind, content=content, push=True)
        done.raise_for_status()

    async def _manifest(self, repository: str, version: str) -> tuple[str, dict[str, Any]] | None:
        answer = await self._ask("GET", repository, f"manifests/{version}", headers=ACCEPT)
        if answer is None:
            return None
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise Unfit(f"{repository}@{version} is answered by something else")
        return digest, _object(answer)

    async def _json(self, repository: str, place: str) -> dict[str, Any] | None:
        answer = await self._ask("GET", repository, place)
        return None if answer is None else _object(answer)

    async def _ask(
        self,
        method: str,
        repository: str,
        place: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        push: bool = False,
    ) -> httpx.Response | None:
        """An answer, or None where it says that there is no such thing."""
        url = httpx.URL(f"{self._url}/v2/{repository}/{place}")
        answer = await self._send(method, url, repository, headers=headers or {}, content=content, push=push)
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise Denied(f"{url.host} does not show {repository} to {self._login.username or 'strangers'}")
        answer.raise_for_status()
        if len(answer.content) > LARGEST:
            raise Unfit(f"{repository}: an answer of {len(answer.content)} bytes")
        return answer

    async def _send(
        self,
        method: str,
        url: httpx.URL,
        repository: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        push: bool,
    ) -> httpx.Response:
        """With what was learned before about who may ask; a challenge is answered once."""
        actions = "pull,push,delete" if push else "pull"
        scope = f"repository:{repository}:{actions}"
        for again in (False, True):
            sent = {**headers, **({"Authorization": known} if (known := self._tokens.get(scope)) else {})}
            # Blobs are often elsewhere, at an address that needs no more leave.
            answer = await self._http.request(
                method, url, headers=sent, content=content, follow_redirects=True
            )
            if answer.status_code != 401 or again:
                break
            leave = await self._leave(answer.headers.get("WWW-Authenticate", ""), scope)
            if not leave:
                break
            self._tokens[scope] = leave
        return answer

    async def _leave(self, challenge: str, scope: str) -> str:
        """What a registry wants to be shown; empty when there is nothing to show."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return self._login.basic
        if kind.lower() != "bearer":
            return ""
        asked = dict(CHALLENGE.findall(rest))
        realm = asked.pop("realm", "")
        query = {"service": asked.get("service", ""), "scope": scope}
        headers = {"Authorization": basic} if (basic := self._login.basic) else {}
        answer = await self._http.get(realm, params={k: v for k, v in query.items() if v}, headers=headers)
        if answer.status_code in (401, 403):
            return ""
        answer.raise_for_status()
        told = _object(answer)
        token = told.get("token") or told.get("access_token")
        return f"Bearer {token}" if isinstance(token, str) else ""


def _first(manifests: Iterable[Mapping[str, Any]]) -> str:
    found = [one for one in manifests if (one.get("platform") or {}).get("os") == "linux"]
    if not found:
        raise Unfit("an index without an image for Linux")
    return str(found[0]["digest"])


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unfit(f"{answer.url.host} answers what is no JSON object")
    return found
