"""What any plane promises. A plane's test module subclasses `PlaneContract` and `UpkeepContract`, and offers two
fixtures: `plane`, and `make_wish(number=1, **changes)`, which makes wishes of one deployment with an archive
that builds.

Every verb is called twice: a step may run again, and must find its own work and leave it alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from dataplane.plane import Plane
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import Difference, Field, compare
from workflows.mending import treatments
from workflows.shapes import Resource, ResourceKind, Sighting, Wish


class MakeWish(Protocol):
    """A wish of the test's deployment."""

    def __call__(self, number: int = 1, **changes: object) -> Wish: ...


NOWHERE = f"sha256:{'0' * 64}"


def hear(said: str) -> None:
    """Somebody to tell."""


async def twice(verb: Callable[[Wish], Awaitable[None]], wish: Wish) -> None:
    for _ in range(2):
        await verb(wish)


async def built(plane: Plane, wish: Wish) -> Wish:
    """The wish with its image."""
    image = await plane.images.build(wish, hear)
    return wish.model_copy(update={"image": image.digest, "defaults": image.defaults})


async def proved(plane: Plane, wish: Wish) -> None:
    """Replicas that run and have shown themselves, but serve nobody."""
    await twice(plane.servers.apply, wish)
    await plane.servers.until_ready(wish, hear)
    await twice(plane.servers.prove, wish)


def revisions(seen: Sighting) -> list[tuple[int, int, bool]]:
    return sorted((replica.revision, replica.index, replica.healthy) for replica in seen.replicas)


def kinds(seen: Sighting) -> set[ResourceKind]:
    return {resource.kind for resource in seen.resources}


@asynccontextmanager
async def serving(plane: Plane, wish: Wish) -> AsyncIterator[Wish]:
    """A deployment that serves that wish; nothing is left of it after."""
    wish = await built(plane, wish)
    try:
        await plane.databases.provision(wish)
        await proved(plane, wish)
        await plane.servers.switch(wish)
        yield wish
    finally:
        await plane.servers.remove(wish)
        await plane.databases.remove(wish)


async def differences(plane: Plane, wish: Wish) -> list[Difference]:
    """What differs now; a look changes nothing, so a second one sees the same."""
    first, second = [await plane.upkeep.sight(wish) for _ in range(2)]
    found = [
        [one for one in compare(wish, seen.facts, frozenset(seen.looked)) if not one.past]
        for seen in (first, second)
    ]
    assert [one.key for one in found[0]] == [one.key for one in found[1]]
    return found[1]


async def mended(plane: Plane, wish: Wish) -> None:
    """The treatments that the workflow would order are enough, in one round."""
    todo = treatments(await differences(plane, wish), {})
    assert todo
    await plane.upkeep.repair(wish, todo, hear)
    assert await differences(plane, wish) == []


class UpkeepContract:
    """The cases of seeing and putting right, with such injuries as the other ports can inflict."""

    async def test_what_serves_is_as_wished(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish(replicas=2)) as wish:
            assert await differences(plane, wish) == []
            await plane.upkeep.repair(wish, [], hear)

    async def test_a_server_that_is_gone_is_begun_again(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish()) as wish:
            await plane.servers.discard(wish)
            found = {one.field for one in await differences(plane, wish)}
            assert found >= {Field.PROCESS, Field.LINK}
            await mended(plane, wish)
            seen = await plane.servers.observe(wish)
            assert (revisions(seen), seen.serving) == ([(1, 0, True)], 1)

    async def test_databases_that_are_gone_are_made_again(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish()) as wish:
            await plane.databases.remove(wish)
            found = {one.field for one in await differences(plane, wish)}
            assert found >= {Field.DATABASE, Field.ROLE, Field.REDIS}
            await mended(plane, wish)
            await plane.servers.prove(wish)

    async def test_everything_that_is_gone_is_made_again(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish()) as wish:
            await plane.servers.remove(wish)
            await plane.databases.remove(wish)
            await mended(plane, wish)
            await plane.servers.prove(wish)

    async def test_one_server_too_many_is_ended(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish()) as wish:
            other = await built(plane, make_wish(2))
            await proved(plane, other)
            (found,) = await differences(plane, wish)
            assert found.field is Field.EXTRA
            await mended(plane, wish)
            assert revisions(await plane.servers.observe(wish)) == [(1, 0, True)]

    async def test_a_door_is_not_led_back(self, plane: Plane, make_wish: MakeWish) -> None:
        """A rollout was quicker than the repair of the revision before it."""
        async with serving(plane, make_wish()) as wish:
            newer = await built(plane, make_wish(2))
            await proved(plane, newer)
            await plane.servers.switch(newer)
            found = [one for one in await differences(plane, wish) if one.field is Field.LINK]
            await plane.upkeep.repair(wish, treatments(found, {}), hear)
            assert (await plane.servers.observe(wish)).serving == 2

    async def test_pages_leave_nothing_out(self, plane: Plane, make_wish: MakeWish) -> None:
        async with serving(plane, make_wish()) as wish:
            pages = [page async for page in plane.upkeep.observe_all()]
            edges = [page.first for page in pages[1:]]
            assert pages[0].first == ""
            assert [page.end for page in pages] == [*edges, None]
            assert edges == sorted(edges)
            short = names.short(wish.deployment_id)
            ((page, seen),) = [(page, one) for page in pages for one in page.seen if one.short == short]
            assert all(
                page.first <= one.short and (page.end is None or one.short < page.end)
                for page in pages
                for one in page.seen
            )
            assert compare(wish, seen.facts, frozenset(page.looked)) == []
            wanted = names.durable_resources(wish) + names.replica_resources(wish)
            assert {(one.kind, one.name) for one in seen.resources} == {
                (one.kind, one.name) for one in wanted
            }

    async def test_our_own_doing_is_no_news(self, plane: Plane, make_wish: MakeWish) -> None:
        changes = plane.upkeep.watch()
        heard: list[set[object]] = []

        async def listen() -> None:
            async for changed in changes:
                heard.append(set(changed))

        listening = asyncio.create_task(listen())
        try:
            async with serving(plane, make_wish()) as wish:
                await plane.servers.discard(wish)
                await mended(plane, wish)
                signs = len(heard) + 2
                while len(heard) < signs:
                    await asyncio.sleep(0.05)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
        assert not set().union(*heard)

    async def test_an_orphan_that_is_gone_already(self, plane: Plane) -> None:
        for kind in ResourceKind:
            name = {
                ResourceKind.DATABASE: "gy_nobody_0badc0de",
                ResourceKind.ROLE: "gy_nobody_0badc0de",
                ResourceKind.REDIS: "redis-0badc0de",
                ResourceKind.ROUTE: "nobody-0badc0de",
                ResourceKind.PROCESS: "server-0badc0de-1-0",
            }[kind]
            await plane.upkeep.remove_orphan(Resource(kind=kind, name=name))


class PlaneContract:
    """The cases."""

    async def test_images_are_made_once_and_found_again(self, plane: Plane, make_wish: MakeWish) -> None:
        wish = make_wish()
        plan = await plane.images.preflight(wish)
        assert plan.graphs
        first = await plane.images.build(wish, hear)
        assert sorted(first.graphs) == sorted(plan.graphs)
        again = await plane.images.build(make_wish(2), hear)
        assert (again.digest, again.reused) == (first.digest, True)
        carried = await plane.images.build(make_wish(3, image=first.digest, archive=None), hear)
        assert (carried.digest, carried.reused) == (first.digest, True)

    async def test_an_image_that_is_nowhere_is_refused(self, plane: Plane, make_wish: MakeWish) -> None:
        wish = make_wish(image=NOWHERE, archive=None)
        for step in (plane.images.build(wish, hear), plane.servers.apply(wish)):
            with pytest.raises(Refused) as caught:
                await step
            assert caught.value.cause.code is Code.IMAGE_GONE

    async def test_an_image_that_went_missing_is_made_from_its_archive(
        self, plane: Plane, make_wish: MakeWish
    ) -> None:
        whole = await plane.images.build(make_wish(), hear)
        assert (await plane.images.build(make_wish(image=NOWHERE), hear)).digest == whole.digest

    async def test_databases_are_made_once_and_go_at_once(self, plane: Plane, make_wish: MakeWish) -> None:
        wish = make_wish()
        await twice(plane.databases.provision, wish)
        wanted = [one for one in names.durable_resources(wish) if one.kind is not ResourceKind.ROUTE]
        seen = (await plane.databases.observe(wish)).resources
        assert sorted((one.kind, one.name) for one in seen) == sorted((one.kind, one.name) for one in wanted)
        await twice(plane.databases.remove, wish)
        assert (await plane.databases.observe(wish)).resources == []

    async def test_the_life_of_a_deployment(self, plane: Plane, make_wish: MakeWish) -> None:
        servers = plane.servers
        first = await built(plane, make_wish(1))
        await plane.databases.provision(first)
        await proved(plane, first)
        seen = await servers.observe(first)
        assert (revisions(seen), seen.serving) == ([(1, 0, True)], None)
        assert kinds(seen) == {ResourceKind.PROCESS}
        await twice(servers.switch, first)
        seen = await servers.observe(first)
        assert (revisions(seen), seen.serving) == ([(1, 0, True)], 1)
        route = Resource(kind=ResourceKind.ROUTE, name=names.slug(first.name, first.deployment_id))
        assert route in seen.resources
        assert kinds(seen) == {ResourceKind.PROCESS, ResourceKind.ROUTE}

        second = await built(plane, make_wish(2))
        await proved(plane, second)
        assert (await servers.observe(second)).serving == 1
        await twice(servers.discard, second)
        seen = await servers.observe(second)
        assert (revisions(seen), seen.serving) == ([(1, 0, True)], 1)

        third = await built(plane, make_wish(3, replicas=2))
        await proved(plane, third)
        await twice(servers.switch, third)
        seen = await servers.observe(third)
        assert (revisions(seen), seen.serving) == ([(1, 0, True), (3, 0, True), (3, 1, True)], 3)
        for _ in range(2):
            await servers.retire(third, hear)
        seen = await servers.observe(third)
        assert (revisions(seen), seen.serving) == ([(3, 0, True), (3, 1, True)], 3)

        await twice(servers.remove, third)
        seen = await servers.observe(third)
        assert (seen.replicas, seen.resources, seen.serving) == ([], [], None)
        await plane.databases.remove(third)
        assert (await plane.databases.observe(third)).resources == []

    async def test_discarding_what_serves_closes_the_gateway(self, plane: Plane, make_wish: MakeWish) -> None:
        wish = await built(plane, make_wish())
        await plane.databases.provision(wish)
        await proved(plane, wish)
        await plane.servers.switch(wish)
        await plane.servers.discard(wish)
        seen = await plane.servers.observe(wish)
        assert (seen.replicas, seen.resources, seen.serving) == ([], [], None)
        await plane.databases.remove(wish)

    async def test_taking_away_what_never_was(self, plane: Plane, make_wish: MakeWish) -> None:
        wish = make_wish()
        await plane.servers.discard(wish)
        await plane.servers.retire(wish, hear)
        await plane.servers.remove(wish)
        await plane.databases.remove(wish)
        assert (await plane.servers.observe(wish)).resources == []
        assert (await plane.databases.observe(wish)).resources == []

    async def test_collecting_spares_what_is_needed(self, plane: Plane, make_wish: MakeWish) -> None:
        needed = await plane.images.build(make_wish(), hear)
        await plane.images.collect({needed.digest})
        again = await plane.images.build(make_wish(2), hear)
        assert (again.digest, again.reused) == (needed.digest, True)

    async def test_collecting_spares_what_was_just_made(self, plane: Plane, make_wish: MakeWish) -> None:
        """What to keep was decided before this rollout's image was on record."""
        made = await plane.images.build(make_wish(), hear)
        await plane.images.collect(set())
        again = await plane.images.build(make_wish(2, image=made.digest, archive=None), hear)
        assert (again.digest, again.reused) == (made.digest, True)
