"""A registry asked by its API: a real one on loopback, and answers that no honest one gives."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.registry_tokens import RegistryTokens
from dataplane.kubernetes.logins import Login
from dataplane.kubernetes.registry import Denied, RegistryClient, Unfit
from tests.registries import KIND, a_registry, digest, push

NOWHERE = f"sha256:{'0' * 64}"
SERVICE = "graphyard-registry"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def test_names_and_what_they_mean(http: httpx.AsyncClient, tmp_path: Path) -> None:
    async with a_registry(tmp_path) as place:
        registry = RegistryClient(http, f"http://{place}/")
        made = await push(place, "team/agents", "one", {"a": "1"})
        other = await push(place, "team/agents", "two")
        assert await registry.resolve("team/agents", "one") == made
        assert await registry.resolve("team/agents", made) == made
        assert await registry.resolve("team/agents", "three") is None
        assert await registry.resolve("team/agents", NOWHERE) is None
        assert await registry.resolve("team/nobody", "one") is None
        assert sorted([tag async for tag in registry.tags("team/agents")]) == ["one", "two"]
        assert [tag async for tag in registry.tags("team/nobody")] == []
        found = await registry.describe("team/agents", "one")
        assert found is not None
        assert (found.digest, dict(found.labels)) == (made, {"a": "1"})
        assert found.size == len(b"layer of one")
        assert await registry.describe("team/agents", "three") is None

        renamed = await registry.relabel("team/agents", made, {"b": "2"}, "final")
        assert renamed not in (None, made)
        again = await registry.describe("team/agents", "final")
        assert again is not None
        assert (again.digest, dict(again.labels)) == (renamed, {"a": "1", "b": "2"})
        assert again.config["config"]["User"] == "10001", "all else is as it was"
        assert await registry.relabel("team/agents", NOWHERE, {}, "nothing") is None

        assert await registry.delete("team/agents", made) is True
        assert await registry.delete("team/agents", made) is False
        assert await registry.resolve("team/agents", "one") is None
        assert await registry.resolve("team/agents", "final") == renamed
        assert await registry.resolve("team/agents", other) == other


async def test_whoever_wants_to_know_is_asked_for_a_token(http: httpx.AsyncClient, tmp_path: Path) -> None:
    """The token dance with our own word for it, with a realm that this test answers."""
    tokens = RegistryTokens(b"k" * 32, {"plane": "secret-4711"})
    bundle = tmp_path / "trusted.pem"
    bundle.write_text(tokens.certificate)
    auth = (
        f'auth: {{token: {{realm: "http://realm.test/token", service: {SERVICE}, issuer: graphyard, '
        f'rootcertbundle: "{bundle}"}}}}'
    )
    asked: list[str] = []

    def realm(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["scope"])
        given = request.headers.get("Authorization", "")
        grant = tokens.grant("plane", "secret-4711") if given == Login("plane", "secret-4711").basic else None
        if grant is None:
            return httpx.Response(401)
        return httpx.Response(
            200, json={"token": tokens.token(SERVICE, "plane", grant, [request.url.params["scope"]])}
        )

    mounted = {"http://realm.test": httpx.MockTransport(realm)}
    grant = tokens.grant("plane", "secret-4711")
    assert grant is not None
    leave = tokens.token(SERVICE, "plane", grant, ["repository:team/agents:pull,push"])
    async with a_registry(tmp_path, auth) as place, httpx.AsyncClient(mounts=mounted) as client:
        made = await push(place, "team/agents", "one", headers={"Authorization": f"Bearer {leave}"})
        known = RegistryClient(client, f"http://{place}", Login("plane", "secret-4711"))
        for _ in range(2):
            assert await known.resolve("team/agents", "one") == made
        assert asked == ["repository:team/agents:pull"], "a token is used until it is refused"
        assert await known.delete("team/agents", made) is True
        for stranger in (Login(), Login("plane", "wrong-4711")):
            with pytest.raises(Denied) as denied:
                await RegistryClient(client, f"http://{place}", stranger).resolve("team/agents", "one")
            assert "4711" not in str(denied.value)


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> RegistryClient:
    return RegistryClient(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "http://registry.test")


async def test_an_index_stands_for_its_image_for_linux() -> None:
    config = {"config": {"Labels": {"a": "1"}}, "created": "2026-01-01T00:00:00Z"}
    image = json.dumps({"mediaType": KIND, "config": {"digest": "sha256:c"}, "layers": [{"size": 3}]})
    inner = digest(image.encode())
    index = json.dumps(
        {
            "manifests": [
                {"digest": NOWHERE, "platform": {"os": "windows"}},
                {"digest": inner, "platform": {"os": "linux", "architecture": "amd64"}},
            ]
        }
    )

    def answer(request: httpx.Request) -> httpx.Response:
        bodies: dict[str, str] = {
            "/v2/a/manifests/1": index,
            f"/v2/a/manifests/{inner}": image,
            "/v2/a/blobs/sha256:c": json.dumps(config),
        }
        return httpx.Response(200, text=bodies[request.url.path])

    found = await answering(answer).describe("a", "1")
    assert found is not None
    assert (found.digest, found.size, dict(found.labels)) == (digest(index.encode()), 3, {"a": "1"})
    assert await answering(answer).resolve("a", "1") == digest(index.encode()), "also without the header"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(403), Denied),
        (httpx.Response(200, text="<html>"), Unfit),
        (httpx.Response(200, text="[]"), Unfit),
        (httpx.Response(503), httpx.HTTPStatusError),
    ],
)
async def test_what_no_registry_should_answer(answer: httpx.Response, error: type[Exception]) -> None:
    def told(_: httpx.Request) -> httpx.Response:
        return answer

    with pytest.raises(error):
        await answering(told).describe("a", "1")


async def test_a_digest_is_held_to_what_came() -> None:
    def other(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"config": {}})

    with pytest.raises(Unfit):
        await answering(other).describe("a", NOWHERE)


async def test_pages_of_tags() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "last" not in request.url.params:
            link = '</v2/a/tags/list?n=500&last=two>; rel="next"'
            return httpx.Response(200, json={"tags": ["one", "two"]}, headers={"Link": link})
        body: dict[str, Any] = {"tags": None}
        return httpx.Response(200, json=body)

    assert [tag async for tag in answering(answer).tags("a")] == ["one", "two"]
