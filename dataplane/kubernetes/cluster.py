"""One cluster's API: objects as JSON, applied server-side under our name, with errors in the house's words.

Thin on purpose: what to write is decided by pure builders, what a state means by pure readers. Only what every
caller would have to repeat is here: discovery, pages, refusal of what is not ours, and which failures may pass.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import KINDS, Kind, Manifest, Served, wanted_groups
from dataplane.kubernetes.streams import lines
from dataplane.kubernetes.trouble import Gone, Trouble, Unserved, told
from workflows.causes import Code, Refused

PAGE = 500
TIMEOUT = 30.0
KNOWN = 600.0
"""Seconds after which what is served is asked anew: operators are installed, and clusters upgraded, meanwhile."""
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
"""Set in every pod by the kubelet."""
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Cluster:
    """The API of one cluster, with one namespace as its usual place. Close it after use."""

    def __init__(self, client: ApiClient, namespace: str, plane: str) -> None:
        self._client = client
        self.namespace = namespace
        self.plane = plane
        self.requests: Counter[str] = Counter()
        """By verb, how often the API was asked."""
        self._served: Served | None = None
        self._asked = 0.0

    @classmethod
    async def connect(cls, kubeconfig: Path | None, namespace: str, plane: str) -> "Cluster":
        """By a kubeconfig, or as this pod's service account. Asks nothing yet."""
        configuration = Configuration()
        if kubeconfig is None and "KUBECONFIG" not in os.environ and IN_CLUSTER in os.environ:
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None, client_configuration=configuration
            )
        return cls(ApiClient(configuration), namespace, plane)

    async def close(self) -> None:
        await self._client.close()

    async def served(self) -> Served:
        """What the cluster serves; asked every ten minutes, and when it turns out to be otherwise."""
        if self._served is None or time.monotonic() - self._asked > KNOWN:
            release, groups, core = await asyncio.gather(
                self.ask("GET", "/version"), self.ask("GET", "/apis"), self.ask("GET", "/api/v1")
            )
            versions = wanted_groups(groups["groups"])
            found = await asyncio.gather(*(self.ask("GET", f"/apis/{version}") for version in versions))
            resources = {
                version: frozenset(one["name"] for one in document["resources"])
                for version, document in zip(["v1", *versions], [core, *found], strict=True)
            }
            self._served, self._asked = Served(release["gitVersion"], resources), time.monotonic()
        return self._served

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """One object, or None."""
        found: Manifest | None = await self.ask("GET", await self.path(kind, name, namespace), missing=True)
        return found

    async def all(
        self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Manifest]:
        """All objects with these labels, of ours unless `labels` says otherwise."""
        return [one async for page in self.pages(kind, labels, namespace) for one in page]

    async def pages(
        self,
        kind: Kind,
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        *,
        size: int = PAGE,
    ) -> AsyncIterator[list[Manifest]]:
        """The same, page by page in the order of names. Raises `Gone` if the reading took too long."""
        wanted = names.mine(self.plane) if labels is None else labels
        query = {"labelSelector": names.selector(wanted), "limit": str(size)}
        while True:
            page = await self.ask("GET", await self.path(kind, None, namespace), query=query)
            items: list[Manifest] = page["items"]
            for item in items:
                # Lists leave out what is the same for all.
                item.setdefault("kind", kind.name)
            yield items
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Have an object as it says, as far as it says; every other field is somebody else's. Refuses to adopt
        what we did not make."""
        kind, name = KINDS[manifest["kind"]], manifest["metadata"]["name"]
        namespace = manifest["metadata"].get("namespace")
        found = await self.get(kind, name, namespace)
        if found is not None:
            self.check_ours(found)
        query = {"fieldManager": names.MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        path = await self.path(kind, name, namespace)
        applied: Manifest = await self.ask("PATCH", path, query=query, body=manifest, content=APPLY)
        return applied

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str | None = None
    ) -> Manifest | None:
        """Change a few fields of an object, whoever owns them; None if it is not there."""
        path, query = await self.path(kind, name, namespace), {"fieldManager": names.MANAGER}
        changed: Manifest | None = await self.ask(
            "PATCH", path, query=query, body=patch, content=MERGE, missing=True
        )
        return changed

    async def create(self, manifest: Manifest) -> Manifest | None:
        """Make an object, or None if there is one of that name already."""
        kind, namespace = KINDS[manifest["kind"]], manifest["metadata"].get("namespace")
        query = {"fieldManager": names.MANAGER}
        try:
            path = await self.path(kind, None, namespace)
            made: Manifest = await self.ask("POST", path, query=query, body=manifest)
        except Trouble as trouble:
            if trouble.status == 409:
                return None
            raise
        return made

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace: int | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Ask for an object's end; whether there was one. It may be there for a while: look."""
        body: dict[str, Any] = {"propagationPolicy": propagation}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        return (
            await self.ask("DELETE", await self.path(kind, name, namespace), body=body, missing=True)
            is not None
        )

    async def events(
        self,
        kind: Kind,
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        since: str = "",
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes from `since` (a list's resourceVersion) on, as (type, object): ADDED, MODIFIED, DELETED, and
        BOOKMARK with nothing but a version. Ends when the server ends it; raises `Gone` when `since` is too old."""
        wanted = names.mine(self.plane) if labels is None else labels
        query = {
            "labelSelector": names.selector(wanted),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
        }
        path = await self.path(kind, None, namespace)
        async with self.open("GET", path, query=query, timeout=None) as answer:
            async for line in lines(answer.content.iter_any()):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"].get("code", 500)
                    raise (Gone if status == 410 else Trouble)(status, event["object"].get("message", ""))
                yield event["type"], event["object"]

    async def version_of(
        self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> tuple[list[Manifest], str]:
        """All objects with these labels, and the resourceVersion from which on to follow them."""
        wanted = names.mine(self.plane) if labels is None else labels
        page = await self.ask(
            "GET", await self.path(kind, None, namespace), query={"labelSelector": names.selector(wanted)}
        )
        for item in page["items"]:
            item.setdefault("kind", kind.name)
        return page["items"], page["metadata"]["resourceVersion"]

    @asynccontextmanager
    async def log(
        self,
        pod: str,
        container: str,
        namespace: str | None = None,
        *,
        previous: bool = False,
        follow: bool = False,
        tail: int | None = None,
        since: str | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A container's lines, each beginning with its time; `since` is a time in RFC 3339."""
        query = {"container": container, "timestamps": "true"}
        query |= {"previous": "true"} if previous else {}
        query |= {"follow": "true"} if follow else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        query |= {"sinceTime": since} if since is not None else {}
        path = f"/api/v1/namespaces/{namespace or self.namespace}/pods/{pod}/log"
        async with self.open("GET", path, query=query, timeout=None if follow else TIMEOUT) as answer:
            yield lines(answer.content.iter_any())

    async def last_words(
        self,
        pod: str,
        container: str,
        namespace: str | None = None,
        *,
        previous: bool = False,
        lines: int = 200,
    ) -> str:
        """The last lines of a container without their times; empty where there is nothing to be had."""
        try:
            async with self.log(pod, container, namespace, previous=previous, tail=lines) as said:
                raw = [line async for line in said]
        except (Trouble, Refused):
            return ""
        return "\n".join(line.decode(errors="replace").partition(" ")[2].rstrip("\n") for line in raw)

    def is_ours(self, found: Manifest) -> bool:
        """Whether we made an object, as its labels say."""
        labels = found["metadata"].get("labels") or {}
        return labels.get(names.MANAGED_BY) == names.MANAGER and labels.get(names.PLANE) == self.plane

    def check_ours(self, found: Manifest) -> None:
        """Refuses what somebody else made, or another plane."""
        if not self.is_ours(found):
            what = f"{found['kind']} {found['metadata'].get('namespace', '')}/{found['metadata']['name']}"
            raise Refused(
                Code.NOT_OURS,
                f"{what} exists and was not made by plane {self.plane!r}; it is left alone.",
                "Remove or rename it, or give the deployment another name.",
            )

    async def path(self, kind: Kind, name: str | None, namespace: str | None) -> str:
        """Where a kind is served, or one object of it."""
        version = (await self.served()).version(kind)
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{base}/namespaces/{namespace or self.namespace}/{kind.plural}{'/' + name if name else ''}"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
        missing: bool = False,
    ) -> Any:
        """One request and its JSON. With `missing`, what is not there is None and no error."""
        try:
            async with self.open(method, path, query=query, body=body, content=content) as answer:
                return json.loads(await answer.read())
        except Trouble as trouble:
            if missing and trouble.status == 404 and not isinstance(trouble, Unserved):
                return None
            raise

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
        timeout: float | None = TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request whose answer is still to be read; raises what the API refuses."""
        self.requests["WATCH" if query and query.get("watch") else method] += 1
        headers = {"Content-Type": content, "Accept": "application/json"}
        configuration = self._client.configuration
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        url = f"{configuration.host}{path}{'?' + urlencode(query) if query else ''}"
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=10)
        answered = await self._client.call_api(method, url, headers, body, _request_timeout=limit)
        answer: aiohttp.ClientResponse = answered.response
        try:
            if answer.status >= 400:
                error = told(answer.status, await answer.read())
                if isinstance(error, Unserved):
                    self._served = None
                raise error
            yield answer
        finally:
            # Of a stream that goes on, nothing more is read: its connection cannot be used again.
            answer.close()
