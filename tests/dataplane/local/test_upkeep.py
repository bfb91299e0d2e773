"""What befalls a real deployment is seen as what it is, and the smallest remedy makes the facts clean again."""

from collections.abc import Sequence
from uuid import UUID

from tests.dataplane.local.yard import Yard
from workflows import names
from workflows.drift import Difference, Field, compare

from workflows.shapes import Wish


async def differences(yard: Yard, wish: Wish) -> list[Difference]:
    sighted = await yard.plane.upkeep.sight(wish)
    return [one for one in compare(wish, sighted.facts, frozenset(sighted.looked)) if not one.past]


async def test_a_deployment_that_is_well(yard: Yard, deployment: UUID) -> None:
    wish = yard.wish(deployment, environment={"ECHO_PREFIX": "one "}, replicas=2)
    await yard.roll(wish)
    sighted = await yard.plane.upkeep.sight(wish)
    for f in sighted.facts:
        print(f.field, f.name, f.seen, f.since, f.past)
    assert await differences(yard, wish) == []
    assert {one.field for one in sighted.facts} == {*Field} - {Field.EXTRA}
