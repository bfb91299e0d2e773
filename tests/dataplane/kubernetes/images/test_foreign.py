"""Images that somebody else built, in a real registry of the test's own."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any, cast

import httpx
import pytest
import uvicorn

from api.registry_tokens import RegistryTokens
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.images.foreign import Foreign
from dataplane.kubernetes.kinds import SECRET, Kind, Manifest
from dataplane.kubernetes.logins import Login
from dataplane.kubernetes.registry import RegistryClient
from dataplane.kubernetes.site import Registry, Site
from tests.cluster import a_site
from tests.registries import a_registry, push
from tests.wishes import a_wish
from workflows import names
from workflows.causes import Code, Refused
from workflows.pods import Resources
from workflows.shapes import SourceKind, Wish

NOWHERE = f"sha256:{'0' * 64}"


class Secrets:
    """As much of a cluster as pull secrets take."""

    def __init__(self, **secrets: Manifest) -> None:
        self._secrets = secrets

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        assert (kind, namespace) == (SECRET, None), "from the servers' own namespace and nowhere else"
        return self._secrets.get(name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("KUBECONFIG", __file__)
    registry = Registry("127.0.0.1:9/yard", "http://127.0.0.1:9", "plane", "of-the-plane", insecure=True)
    return a_site("agents", tmp_path / "keys", registry=registry)


def at(site: Site, place: str) -> Site:
    ours = replace(site.registry, address=f"{place}/yard", api=f"http://{place}")
    return replace(site, registry=ours)


def external(uri: str, **fields: Any) -> Wish:
    return a_wish(source=SourceKind.EXTERNAL_DOCKER, image_uri=uri, **fields)


async def resolved(site: Site, wish: Wish, **secrets: Manifest) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        ours = RegistryClient(http, site.registry.api, Login(site.registry.username, site.registry.password))
        return await Foreign(site, cast(Cluster, Secrets(**secrets))).resolve(wish, ours)


async def refused(site: Site, wish: Wish, **secrets: Manifest) -> Code:
    with pytest.raises(Refused) as caught:
        await resolved(site, wish, **secrets)
    assert caught.value.cause.fix
    return caught.value.cause.code


async def test_any_image_by_what_its_name_means_now(site: Site, tmp_path: Path) -> None:
    async with a_registry(tmp_path) as place:
        first = await push(place, "team/agent", "v1")
        wish = external(f"{place}/team/agent:v1")
        assert await resolved(site, wish) == first
        moved = await push(place, "team/agent", "v1", {"a": "1"})
        assert await resolved(site, wish) == moved
        assert await resolved(site, wish.model_copy(update={"image": first})) == first, "a held digest stays"
        assert await resolved(site, external(f"{place}/team/agent@{first}")) == first
        for uri in (f"{place}/team/agent:v2", f"{place}/team/nobody", f"{place}/team/agent@{NOWHERE}"):
            assert await refused(site, external(uri)) is Code.IMAGE_REFUSED
        assert await refused(site, external("Not A Name")) is Code.IMAGE_REFUSED
        assert await refused(site, wish.model_copy(update={"image": NOWHERE})) is Code.IMAGE_GONE


async def test_what_was_pushed_for_one_deployment_is_for_that_one(site: Site, tmp_path: Path) -> None:
    async with a_registry(tmp_path) as place:
        here = at(site, place)
        wish = a_wish(source=SourceKind.INTERNAL_DOCKER)
        slug = names.slug(wish.name, wish.deployment_id)
        made = await push(place, f"yard/{slug}", "v1")
        await push(place, "yard/other-0badc0de", "v1")
        named = wish.model_copy(update={"image_uri": f"{place}/yard/{slug}:v1"})
        assert await resolved(here, named) == made
        by_digest = wish.model_copy(update={"image_uri": f"{place}/yard/{slug}@{made}"})
        assert await resolved(here, by_digest) == made
        other = wish.model_copy(update={"image_uri": f"{place}/yard/other-0badc0de:v1"})
        assert await refused(here, other) is Code.IMAGE_REFUSED


@asynccontextmanager
async def plain(app: Any) -> AsyncIterator[str]:
    """An app on a loopback port."""
    door = socket()
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[door]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def pull_secret(place: str, username: str, password: str) -> Manifest:
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    text = json.dumps({"auths": {place: {"auth": auth}}})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


async def test_as_whom_the_pull_secret_says_and_never_as_the_plane(site: Site, tmp_path: Path) -> None:
    """The registry is asked for a token where it says; whoever owns a name could say anywhere."""
    tokens = RegistryTokens(b"k" * 32, {"them": "hush-4711", "plane": "of-the-plane"})
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(tokens.certificate)
    seen: list[str] = []

    async def realm(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").decode()
        seen.append(given)
        known = tokens.grant("them", "hush-4711") if given == Login("them", "hush-4711").basic else None
        wanted = "repository:team/agent:pull"
        body = json.dumps({"token": tokens.token("r", "them", known, [wanted])} if known else {}).encode()
        status = 200 if known else 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with plain(realm) as url:
        auth = (
            f'auth: {{token: {{realm: "{url}/token", service: r, issuer: graphyard, '
            f'rootcertbundle: "{trusted}"}}}}'
        )
        grant = tokens.grant("them", "hush-4711")
        assert grant is not None
        leave = tokens.token("r", "them", grant, ["repository:team/agent:pull,push"])
        async with a_registry(tmp_path, auth) as place:
            made = await push(place, "team/agent", "v1", headers={"Authorization": f"Bearer {leave}"})
            theirs = Resources(image_pull_secrets=[{"name": "absent"}, {"name": "theirs"}])
            wish = external(f"{place}/team/agent:v1", resources=theirs)
            secret = pull_secret(place, "them", "hush-4711")
            assert await resolved(site, wish, theirs=secret) == made
            assert await refused(site, wish, theirs=pull_secret(place, "them", "x")) is Code.IMAGE_REFUSED
            assert await refused(site, external(f"{place}/team/agent:v1")) is Code.IMAGE_REFUSED
            # Not even where it is the plane's own registry.
            assert await refused(at(site, place), external(f"{place}/team/agent:v1")) is Code.IMAGE_REFUSED
    assert Login("plane", "of-the-plane").basic not in seen
