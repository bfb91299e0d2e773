"""Who may come in: keys, bearers, workspaces."""

from collections.abc import Awaitable, Callable

from api.parts import Parts
from records import key
from tests.api.conftest import Yard, speaking

LIST = "/v2/deployments"


async def test_either_header_carries_the_key(yard: Yard) -> None:
    async with speaking(yard.app, "") as nobody:
        for headers in (
            {"X-Api-Key": yard.api_key},
            {"x-api-key": yard.api_key},
            {"Authorization": f"Bearer {yard.api_key}"},
            {"X-Api-Key": yard.api_key, "X-Tenant-ID": yard.workspace_id},
            {"X-Api-Key": yard.api_key, "X-Tenant-Id": yard.workspace_id.upper()},
            {"X-Api-Key": yard.api_key, "X-Tenant-Id": ""},
        ):
            assert (await nobody.get(LIST, headers=headers)).status_code == 200, headers


async def test_a_revoked_key_is_unknown_at_once(yard: Yard) -> None:
    async with yard.parts.sessions.begin() as session:
        found = await key.find(session, yard.api_key)
        assert found
        await key.revoke(session, found.workspace_id, found.id)
    assert "revoked" in await yard.refused("GET", LIST, 401)


async def test_a_key_reaches_only_its_own_workspace(
    yard: Yard, admit: Callable[[Parts, str], Awaitable[tuple[str, str]]]
) -> None:
    other, _ = await admit(yard.parts, "other")
    said = await yard.refused("GET", LIST, 403, headers={"X-Tenant-Id": other})
    assert other in said
    assert "not enabled" not in said.lower()


async def test_every_path_of_the_contract_wants_a_key(yard: Yard) -> None:
    # Registries and their clients have no key: a token wants the password of push-token, a certificate is for all.
    of_registries = {"/v2/registry/token", "/v2/registry/certificate"}
    open_paths = {"/health", "/ready", "/metrics", "/v2/uploads/{upload_id}", *of_registries}
    async with speaking(yard.app, "") as nobody:
        schema = (await nobody.get("/openapi.json")).json()
        tried = 0
        for path, verbs in schema["paths"].items():
            if path in open_paths:
                continue
            for verb in verbs:
                filled = path
                for name in ("deployment_id", "revision_id", "listener_id", "integration_id", "project_id"):
                    filled = filled.replace(f"{{{name}}}", "8c1e6b1e-0000-4000-8000-000000000000")
                for prefix in ("", "/api-host"):
                    answer = await nobody.request(verb.upper(), prefix + filled)
                    assert answer.status_code == 401, (verb, filled, answer.text)
                    tried += 1
    assert tried >= 40


async def test_the_schema_describes_every_operation(yard: Yard) -> None:
    schema = await yard.ok("GET", "/openapi.json")
    for path, verbs in schema["paths"].items():
        assert not path.startswith(("/api-host", "/internal"))
        for verb, operation in verbs.items():
            assert operation.get("summary"), (verb, path)
            assert len(operation.get("description", "")) > 10, (verb, path)
            assert operation.get("tags"), (verb, path)
