"""Builds on a real cluster, from an archive to a digest. Each costs half a minute, so each shows as much as it can."""

import asyncio
import gzip
import json

import httpx
import pytest

from dataplane.kubernetes import names, references
from dataplane.kubernetes.images import marks
from dataplane.kubernetes.images.order import FETCH
from dataplane.kubernetes.kinds import JOB, POD
from dataplane.kubernetes.registry import RegistryClient
from tests.dataplane.kubernetes.images.conftest import Yard, a_project
from workflows.causes import Code, Refused

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_an_archive_becomes_an_image_once(yard: Yard) -> None:
    """Secrets of the project reach neither the image nor the build; equal sources are found, whoever brings them."""
    config = {"env": {"TOKEN": "hush-1"}, "pip_config_file": "pip.conf"}
    pip = {"pip.conf": "[global]\ntimeout = 60\n# hush-2\n"}
    files = a_project(config, **pip)
    heard: list[str] = []
    images, wish = yard.images(), yard.wish(files=files)
    plan = await images.preflight(wish)
    assert (plan.graphs, plan.python) == (["agent"], "3.11")
    assert "files, graphs agent; Python 3.11" in yard.said
    image = await images.build(wish, heard.append)

    assert not image.reused
    assert image.digest.startswith("sha256:")
    assert image.lock_digest.startswith("sha256:")
    assert (image.python, image.server, image.graphs) == ("3.11", "langgraph-api==0.11.1", ["agent"])
    assert image.source_digest == plan.source_digest
    assert image.defaults is not None
    assert yard.keyring.open_map(image.defaults, str(yard.deployment)) == {"TOKEN": "hush-1"}
    assert "STEP 1/" in yard.said
    assert f"Image {image.digest}: built in" in yard.said
    assert any("STEP" in line for line in heard)
    assert len({(line.stream, line.position) for line in yard.lines}) == len(yard.lines)

    async with httpx.AsyncClient() as http:
        registry = RegistryClient(http, yard.site.registry.api)
        repository = references.home(yard.site).repository
        found = await registry.describe(repository, image.digest)
        assert found is not None
        assert found.labels[marks.LOCK] == image.lock_digest
        assert found.config["config"]["User"] == "10001:10001"
        assert found.config["config"]["WorkingDir"] == "/deps/project"
        assert "hush" not in json.dumps(found.config)
        layers = [layer["digest"] for layer in found.manifest["layers"]]
        answer = await http.get(f"{yard.site.registry.api}/v2/{repository}/blobs/{layers[-1]}")
        layer = gzip.decompress(answer.content)
        assert b"deps/project/agent.py" in layer
        assert b"hush" not in layer
        assert b"deps/project/pip.conf" not in layer
        tags = [tag async for tag in registry.tags(repository)]
        assert [tag for tag in tags if tag.startswith("src-")] == tags

    # Nothing of the build is left, and its address was used up.
    assert await yard.cluster.get(JOB, names.build(wish)) is None
    assert (yard.lender.lent, yard.lender.answered) == (1, [200])

    other = yard.images()
    again = await other.build(yard.wish(2, files=files), heard.append)
    assert (again.digest, again.reused, again.graphs) == (image.digest, True, ["agent"])
    carried = await other.build(yard.wish(3, image=image.digest), heard.append)
    assert (carried.digest, carried.reused) == (image.digest, True)
    changed = a_project({**config, "env": {"TOKEN": "hush-3"}}, **pip)
    assert (await other.build(yard.wish(4, files=changed), heard.append)).digest == image.digest
    assert yard.lender.lent == 1
    assert await other.exists(yard.wish(image=image.digest))
    nowhere = f"sha256:{'0' * 64}"
    assert not await other.exists(yard.wish(image=nowhere))
    with pytest.raises(Refused) as caught:
        await other.build(yard.wish(5, image=nowhere), heard.append)
    assert caught.value.cause.code is Code.IMAGE_GONE
    assert (await other.build(yard.wish(6, files=files, image=nowhere), heard.append)).digest == image.digest

    assert await other.collect({image.digest}) == 0
    assert await yard.images().collect(set()) == 0, "it is an hour too young"
    assert await yard.images(grace=0).collect(set()) == 1
    assert not await other.exists(yard.wish(image=image.digest))
    assert "hush" not in yard.said + "".join(heard)


async def test_lines_of_a_dockerfile_are_run_and_what_cannot_be_resolved_is_told(yard: Yard) -> None:
    files = a_project(
        {"dockerfile_lines": ["RUN echo lines-were-run > /told"]}, needs='"no-such-package-of-ours==9.9"'
    )
    with pytest.raises(Refused) as caught:
        await yard.images().build(yard.wish(files=files), lambda _: None)
    assert caught.value.cause.code is Code.RESOLUTION_FAILED
    assert "no-such-package-of-ours" in caught.value.cause.message
    assert "lines-were-run" in yard.said
    # It is taken away, so that another try builds anew.
    assert await yard.cluster.get(JOB, names.build(yard.wish())) is None


async def test_a_build_is_found_again_by_whoever_comes_next_and_goes_with_whoever_is_told_to_stop(
    yard: Yard,
) -> None:
    """The worker is killed in the middle of a build; another one goes on with it, and is told to stop."""
    files = a_project({"dockerfile_lines": ["RUN sleep 600"]})
    wish = yard.wish(files=files)
    one = asyncio.create_task(yard.images().build(wish, lambda _: None))
    async with asyncio.timeout(120):
        while "RUN sleep 600" not in yard.said:
            await asyncio.sleep(0.1)
    (job,) = await yard.cluster.all(JOB)
    heard: list[str] = []
    two = asyncio.create_task(yard.images().build(wish, heard.append))
    async with asyncio.timeout(60):
        while not any("RUN sleep 600" in line for line in heard):
            await asyncio.sleep(0.1)
    assert [found["metadata"]["uid"] for found in await yard.cluster.all(JOB)] == [job["metadata"]["uid"]]
    assert yard.lender.lent == 1
    (pod,) = await yard.cluster.all(POD)
    assert pod["spec"]["initContainers"][0]["name"] == FETCH
    two.cancel()
    with pytest.raises(asyncio.CancelledError):
        await two
    with pytest.raises(Exception, match="took the build away"):
        await one
    await yard.until_nothing_is_left(wish)
