"""Builds on a real cluster and what is around them: layers that a registry kept, a registry that wants to know who
asks, an API with a certificate of the house, and the time and memory that a build may take."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from dataplane.kubernetes import references
from dataplane.kubernetes.kinds import JOB, Manifest
from dataplane.kubernetes.logins import Login
from dataplane.kubernetes.registry import ACCEPT
from dataplane.kubernetes.site import Registry
from tests.certificates import vouched
from tests.cluster import REGISTRY
from tests.dataplane.kubernetes.images.conftest import HOST, Yard, a_project
from tests.registries import a_registry
from workflows.causes import Cause, Code, Refused
from workflows.shapes import Wish

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NEEDS = {"dependencies": [".", "iniconfig==2.1.0"]}
"""What is installed before the code is there."""
LOGIN = Login("plane", "hush-4711")
KNOWN = "plane:$2b$04$DjYxkjKp.q4JC1Inkn0.HOHxM4Yx/MOZDzAFnm3LGE8e3aolmsG3K\n"
"""htpasswd's line for it."""
BASE = "graphyard/server"


async def refused(yard: Yard, wish: Wish) -> Cause:
    with pytest.raises(Refused) as caught:
        await yard.images().build(wish, lambda _: None)
    assert caught.value.cause.fix
    assert str(caught.value.cause) in yard.said
    return caught.value.cause


async def test_changed_code_is_built_on_the_layers_that_the_registry_kept(yard: Yard) -> None:
    images = yard.images()
    first = await images.build(yard.wish(files=a_project(NEEDS)), lambda _: None)
    assert "+ iniconfig==2.1.0" in yard.said
    yard.lines.clear()
    changed = a_project(NEEDS, **{"more.py": "changed = True\n"})
    second = await images.build(yard.wish(2, files=changed), lambda _: None)
    assert second.digest != first.digest
    assert "+ iniconfig" not in yard.said, "another pod, with a store of its own, and yet it did not run"
    kept = f"{references.layers(yard.site).place}:"
    assert f"Cache pulled from remote {kept}" in yard.said
    assert f"Pushing cache {kept}" in yard.said, "what comes after the code is new"


async def test_a_registry_that_asks_who_and_an_api_of_the_house(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base comes from there and the image goes there, with the plane's name and password; then both are lost."""
    accounts = tmp_path / "accounts"
    accounts.write_text(KNOWN)
    auth = f'auth: {{htpasswd: {{realm: "test", path: "{accounts}"}}}}'
    authority, context = vouched(tmp_path, HOST)
    lending = await asyncio.start_server(yard.lender.answer, "0.0.0.0", 0, ssl=context)
    jobs: list[Manifest] = []
    async with lending, a_registry(tmp_path, auth) as place:
        await copied(f"http://{REGISTRY}", f"http://{place}", "pg-3.11")
        yard.site = replace(
            yard.site,
            registry=Registry(
                f"{place}/yard", f"http://{place}", LOGIN.username, LOGIN.password, insecure=True
            ),
            images=replace(yard.site.images, server={"pg-3.11": f"{place}/{BASE}:pg-3.11"}),
            builder_reaches=f"https://{HOST}:{lending.sockets[0].getsockname()[1]}",
            builders_trust=authority,
        )
        wish = yard.wish(files=a_project(NEEDS))
        image = await yard.images().build(wish, lambda _: None)
        assert await yard.images().exists(yard.wish(image=image.digest))
        assert "Pushing cache" not in yard.said, "whatever a project runs would have the password"

        link = yard.lender.link

        async def lost(upload_id: UUID) -> str:
            jobs.extend(await yard.cluster.all(JOB))
            accounts.write_text("\n")
            return await link(upload_id)

        monkeypatch.setattr(yard.lender, "link", lost)
        wish = yard.wish(2, files=a_project(NEEDS, **{"more.py": "changed = True\n"}))
        cause = await refused(yard, wish)
        assert (cause.code, "pulling the base" in cause.message) == (Code.REGISTRY_UNREACHABLE, True)
        assert "unauthorized" in yard.said
        await yard.until_nothing_is_left(wish)
        for step in (yard.images().preflight, lambda one: yard.images().build(one, lambda _: None)):
            with pytest.raises(Refused) as caught:
                await step(wish)
            assert caught.value.cause.code is Code.REGISTRY_UNREACHABLE
    (job,) = jobs
    for hidden in (LOGIN.password, LOGIN.basic.removeprefix("Basic ")):
        assert hidden not in json.dumps(job) + yard.said + str(caught.value.cause)


async def test_an_api_that_nobody_vouches_for(yard: Yard, tmp_path: Path) -> None:
    _, context = vouched(tmp_path, HOST)
    async with await asyncio.start_server(yard.lender.answer, "0.0.0.0", 0, ssl=context) as lending:
        port = lending.sockets[0].getsockname()[1]
        yard.site = replace(yard.site, builder_reaches=f"https://{HOST}:{port}")
        wish = yard.wish(files=a_project(NEEDS))
        cause = await refused(yard, wish)
        assert (cause.code, yard.lender.answered) == (Code.INTERNAL, [])
        assert "certificate" in cause.message
        assert "GRAPHYARD_API_CA" in cause.fix
        await yard.until_nothing_is_left(wish)


async def test_no_more_time_or_memory_than_a_build_is_given(yard: Yard) -> None:
    """Both at once: each waits for most of its time."""
    slow = replace(yard, site=replace(yard.site, build_seconds=12), lines=[], deployment=uuid4())
    memory = {"requests": {"memory": "64Mi"}, "limits": {"memory": "384Mi"}}
    large = replace(yard, site=replace(yard.site, build_resources=memory), lines=[], deployment=uuid4())
    sleeps = slow.wish(files=a_project({"dockerfile_lines": ["RUN sleep 600"]}))
    eats = large.wish(
        files=a_project({"dockerfile_lines": ["""RUN python3 -c "print(len(b'x' * (1 << 30)))" """.strip()]})
    )
    late, full = await asyncio.gather(refused(slow, sleeps), refused(large, eats))
    assert (late.code, "12 seconds" in late.message) == (Code.NO_PROGRESS, True)
    assert "STEP 2/14: RUN python3" in large.said
    assert (full.code, "memory" in full.message) == (Code.OUT_OF_MEMORY, True)
    for wish in (sleeps, eats):
        await yard.until_nothing_is_left(wish)


async def copied(source: str, target: str, tag: str) -> None:
    """The base, into a registry that wants the plane's login."""
    sending = {"Authorization": LOGIN.basic, "Content-Type": "application/octet-stream"}
    async with (
        httpx.AsyncClient(base_url=f"{source}/v2/{BASE}/", trust_env=False, timeout=60) as here,
        httpx.AsyncClient(
            base_url=f"{target}/v2/{BASE}/", headers=sending, trust_env=False, timeout=60
        ) as there,
    ):
        found = await here.get(f"manifests/{tag}", headers=ACCEPT)
        found.raise_for_status()
        for part in (found.json()["config"], *found.json()["layers"]):
            begun = await there.post("blobs/uploads/")
            begun.raise_for_status()
            where = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": part["digest"]})
            content = (await here.get(f"blobs/{part['digest']}", follow_redirects=True)).content
            (await there.put(where, content=content)).raise_for_status()
        kind = {"Content-Type": found.headers["Content-Type"]}
        put = await there.put(f"manifests/{tag}", content=found.content, headers=kind)
        put.raise_for_status()
