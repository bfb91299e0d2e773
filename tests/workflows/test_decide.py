"""What is decided, case by case."""

from uuid import uuid4

import pytest

from tests.wishes import a_wish
from workflows.causes import Code
from workflows.decide import Act, decide, refusal
from workflows.shapes import Intent, PlaneKind, SourceKind

# wanted, active, deleted, plane, rolling, given up -> act
CASES = {
    "nothing was ever wanted": ((None, None, False, "local", None, False), Act.REST),
    "the first wish": ((1, None, False, "local", None, False), Act.ROLL_OUT),
    "all is as wanted": ((None, 3, False, "local", None, False), Act.REST),
    "a newer wish": ((4, 3, False, "local", None, False), Act.ROLL_OUT),
    "it is rolling out": ((4, 3, False, "local", 4, False), Act.WAIT),
    "a newer one while rolling out": ((5, 3, False, "local", 4, False), Act.GIVE_UP),
    "a newer one while giving up": ((5, 3, False, "local", 4, True), Act.WAIT),
    "interrupted": ((None, 3, False, "local", 4, False), Act.GIVE_UP),
    "interrupted, first of all": ((None, None, False, "local", 1, False), Act.GIVE_UP),
    "interrupted, being given up": ((None, 3, False, "local", 4, True), Act.WAIT),
    "its outcome is on record already": ((None, 4, False, "local", 4, False), Act.WAIT),
    "the newer one was interrupted after the older was given up": (
        (4, 3, False, "local", 4, True),
        Act.WAIT,
    ),
    "deleted": ((3, 3, True, "local", None, False), Act.REMOVE),
    "deleted before any revision": ((None, None, True, "local", None, False), Act.REMOVE),
    "deleted while rolling out": ((4, 3, True, "local", 4, False), Act.GIVE_UP),
    "deleted while giving up": ((4, 3, True, "local", 4, True), Act.WAIT),
    "not on record": ((None, None, True, "", None, False), Act.LEAVE),
    "not on record, with a rollout": ((None, None, True, "", 4, False), Act.GIVE_UP),
}


@pytest.mark.parametrize("case", CASES)
def test_decide(case: str) -> None:
    (wanted, active, deleted, plane, rolling, given_up), expected = CASES[case]
    intent = Intent(
        deployment_id=uuid4(),
        name="agent",
        workspace="w",
        plane=plane,
        deleted=deleted,
        wanted=a_wish(number=wanted) if wanted else None,
        active=active,
    )
    decision = decide(intent, rolling, given_up)
    assert decision.act is expected
    assert decision.why.endswith(".")


@pytest.mark.parametrize("source", SourceKind)
def test_only_containers_are_refused(source: SourceKind) -> None:
    assert refusal(a_wish(source=source), "east", PlaneKind.KUBERNETES) is None
    cause = refusal(a_wish(source=source), "local", PlaneKind.LOCAL)
    if source in {SourceKind.EXTERNAL_DOCKER, SourceKind.INTERNAL_DOCKER}:
        assert cause is not None
        assert cause.code is Code.NOT_ON_THIS_PLANE
        assert "Kubernetes plane" in cause.fix
        assert "langgraph deploy --remote" in cause.fix
    else:
        assert cause is None
