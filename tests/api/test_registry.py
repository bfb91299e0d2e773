"""Pushing an image to a registry that asks this api who may: shown with a real registry and a real client."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from api.registry_tokens import Grant, RegistryTokens
from settings import Settings
from tests.api.conftest import Yard
from tests.api.served import served
from tests.registries import a_registry

SERVICE = "graphyard-registry"
KEY = b"k" * 32


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a registry that asks, wherever it is."""
    return settings.model_copy(
        update={
            "registry_url": "https://registry.example/team",
            "registry_service": SERVICE,
            "registry_accounts": {"plane": SecretStr("of-the-plane")},
        }
    )


async def pushing(yard: Yard, name: str = "agent") -> dict[str, Any]:
    made = await yard.create(name, source="internal_docker")
    return dict(await yard.ok("POST", f"/v2/deployments/{made['id']}/push-token"))


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


async def test_a_password_opens_its_own_repository(yard: Yard) -> None:
    told = await pushing(yard)
    repository = str(told["repository_url"]).removeprefix("registry.example/")
    asked = {
        "service": SERVICE,
        "scope": [f"repository:{repository}:pull,push,delete", "repository:other:pull"],
    }
    answer = await yard.client.get("/v2/registry/token", params=asked, auth=(told["username"], told["token"]))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    said = claims(answer.json()["token"])
    assert said["access"] == [{"type": "repository", "name": repository, "actions": ["pull", "push"]}]
    assert (said["aud"], said["iss"]) == (SERVICE, "graphyard")
    form = {
        "grant_type": "password",
        "username": told["username"],
        "password": told["token"],
        "service": SERVICE,
        "scope": f"repository:{repository}:pull repository:other:push",
    }
    answer = await yard.client.post("/v2/registry/token", data=form)
    assert claims(answer.json()["access_token"])["access"] == [
        {"type": "repository", "name": repository, "actions": ["pull"]}
    ]


@pytest.mark.parametrize(
    ("auth", "service", "status"),
    [
        (("graphyard", "guess"), SERVICE, 401),
        (("graphyard", ""), SERVICE, 401),
        (("plane", ""), SERVICE, 401),
        (("nobody", "of-the-plane"), SERVICE, 401),
        (("plane", "of-the-plane"), "another", 400),
        (("plane", "of-the-plane"), SERVICE, 200),
    ],
)
async def test_who_gets_a_token(yard: Yard, auth: tuple[str, str], service: str, status: int) -> None:
    answer = await yard.client.get("/v2/registry/token", params={"service": service}, auth=auth)
    assert answer.status_code == status, answer.text


async def test_without_such_a_registry_there_is_nothing_to_ask(yard: Yard) -> None:
    changed = yard.parts.settings.model_copy(update={"registry_service": ""})
    object.__setattr__(yard.parts, "settings", changed)
    for path in ("token", "certificate"):
        assert (await yard.client.get(f"/v2/registry/{path}", auth=("plane", ""))).status_code == 404
    assert (await pushing(yard))["token"] == "none"


def test_passwords_end_and_cannot_be_made_up() -> None:
    ours, others = RegistryTokens(KEY), RegistryTokens(b"o" * 32)
    assert ours.grant("anybody", ours.password("a/b")) == Grant("a/b", ("pull", "push"))
    assert RegistryTokens(KEY).grant("", ours.password("a/b")) is not None, "every api knows it"
    assert ours.grant("", ours.password("a/b", timedelta(seconds=-1))) is None
    assert ours.grant("", others.password("a/b")) is None
    said = base64.urlsafe_b64decode(ours.password("a/b")).replace(b"a/b", b"a/c")
    assert ours.grant("", base64.urlsafe_b64encode(said).decode()) is None
    assert ours.grant("", "\u00e9") is None


def test_two_of_the_same_keys_sign_for_the_same_registry() -> None:
    def public_key(one: RegistryTokens) -> bytes:
        found = x509.load_pem_x509_certificate(one.certificate.encode()).public_key()
        return found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    assert public_key(RegistryTokens(KEY)) == public_key(RegistryTokens(KEY))
    assert public_key(RegistryTokens(KEY)) != public_key(RegistryTokens(b"o" * 32))


@pytest.fixture
async def asked(yard: Yard, settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """The api on a port, and a registry that lets nobody in without its word."""
    for program in ("buildah", "skopeo"):
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{program} is not installed: in CI nothing may be skipped")
            pytest.skip(f"{program} is not installed")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text((await yard.client.get("/v2/registry/certificate")).text)
    async with served(settings) as api:
        auth = (
            f'auth: {{token: {{realm: "{api.url}/v2/registry/token", service: {SERVICE}, issuer: graphyard, '
            f'rootcertbundle: "{trusted}"}}}}'
        )
        async with a_registry(tmp_path, auth) as place:
            changed = api.parts.settings.model_copy(update={"registry_url": f"http://{place}/team"})
            object.__setattr__(api.parts, "settings", changed)
            speaker = Yard.at(api.app, api.url, yard.api_key)
            yield speaker
            await speaker.client.aclose()


async def program(*argv: str) -> tuple[int, str]:
    made = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await made.communicate()
    return made.returncode or 0, said.decode()


async def test_a_real_registry_takes_what_a_real_client_pushes(asked: Yard, tmp_path: Path) -> None:
    told, other = await pushing(asked), await pushing(asked, "other")
    layout = tmp_path / "layout"
    plain = ["--tls-verify=false"]
    image = f"localhost/gy-push-{tmp_path.name}"
    code, name = await program("buildah", "from", "--name", tmp_path.name, "scratch")
    assert code == 0, name
    try:
        assert (await program("buildah", "commit", "--quiet", tmp_path.name, image))[0] == 0
        login = f"{told['username']}:{told['token']}"
        pushed = f"{told['repository_url']}:v1"
        code, said = await program("buildah", "push", *plain, "--creds", login, image, f"docker://{pushed}")
        assert code == 0, said
        for refused in (
            ("buildah", "push", *plain, "--creds", login, image, f"docker://{other['repository_url']}:v1"),
            ("buildah", "push", *plain, "--creds", "graphyard:guess", image, f"docker://{pushed}"),
        ):
            code, said = await program(*refused)
            assert code != 0, said
            assert told["token"] not in said
        # Whoever has an account of its own, as planes and nodes do, pulls what it likes.
        code, said = await program(
            *("skopeo", "copy", "--src-tls-verify=false", "--src-creds", "plane:of-the-plane"),
            *(f"docker://{pushed}", f"dir:{layout}"),
        )
        assert code == 0, said
        assert (layout / "manifest.json").exists()
    finally:
        await program("buildah", "rm", tmp_path.name)
        await program("buildah", "rmi", image)
