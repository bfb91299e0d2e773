"""What any plane promises. A plane's test module subclasses `PlaneContract` and offers two fixtures: `plane`,
and `make_wish(number=1, **changes)`, which makes wishes of one deployment with an archive that builds.

Every verb is called twice: a step may run again, and must find its own work and leave it alone.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from dataplane.plane import Plane
from workflows import names
from workflows.causes import Code, Refused
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
