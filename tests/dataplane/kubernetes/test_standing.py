"""Which replicas there are and where callers are led: from objects, for a person's page."""

from typing import Any

import pytest

from dataplane.kubernetes import names as labels
from dataplane.kubernetes import standing
from dataplane.kubernetes.belongings import Belongings
from dataplane.kubernetes.kinds import Manifest
from tests.dataplane.kubernetes.pods import RUNS, a_pod, a_service, condition, of_server, over, waits
from tests.wishes import a_wish
from workflows import names

WISH = a_wish(number=2, replicas=2)
DOOR: Manifest = {"kind": "Ingress", "metadata": {"name": "door"}}
HERE = {labels.SHORT: names.short(WISH.deployment_id), labels.ROLE: "server", labels.REVISION: "2"}


def pod(name: str, number: int = 2, server: dict[str, Any] | None = None, **more: Any) -> Manifest:
    return a_pod(server or RUNS, name=name, labels=of_server(WISH, number), **more)


def test_each_pod_fills_a_slot_of_its_revision_and_those_that_end_come_last() -> None:
    going = {"deletionTimestamp": "2026-01-01T00:03:00Z", "creationTimestamp": "2025-01-01T00:00:00Z"}
    redis = a_pod(RUNS, name="redis", labels={**of_server(WISH), labels.ROLE: "redis"}, ready=True)
    found = Belongings(
        {
            "Pod": [
                pod("b", server={**RUNS, "started": False}, ready=False),
                pod("a", ready=True),
                pod("going", meta=going),
                pod("old", 1, ready=True),
                redis,
            ]
        }
    )
    said = [
        (one.name, one.revision, one.index, one.state, one.healthy) for one in standing.replicas(WISH, found)
    ]
    id_ = WISH.deployment_id
    assert said == [
        (names.server(id_, 1, 0), 1, 0, "running", True),
        (names.server(id_, 2, 0), 2, 0, "running", True),
        (names.server(id_, 2, 1), 2, 1, "starting", False),
        (names.server(id_, 2, 2), 2, 2, "stopping", False),
    ]


STATES = [
    (pod("a"), "running"),
    (pod("a", server=waits("ContainerCreating")), "starting"),
    (pod("a", server=waits("CrashLoopBackOff", restartCount=5)), "backoff"),
    (pod("a", server=waits("ErrImagePull")), "dead"),
    (pod("a", server={"state": over(1)}, spec={"restartPolicy": "Never"}), "dead"),
    (a_pod(None, condition("PodScheduled", False), labels=of_server(WISH)), "dead"),
]


@pytest.mark.parametrize(("one", "state"), STATES)
def test_a_state_has_a_word_of_the_page_s(one: Manifest, state: str) -> None:
    (found,) = standing.replicas(WISH, Belongings({"Pod": [one]}))
    assert found.state == state


def test_every_revision_of_which_there_is_something() -> None:
    deployment = {"kind": "Deployment", "metadata": {"name": "x", "labels": of_server(WISH, 7)}}
    nameless = {"kind": "Pod", "metadata": {"name": "y", "labels": {labels.ROLE: "server"}}}
    found = Belongings({"Deployment": [deployment], "Pod": [pod("a"), pod("b", 1), nameless]})
    assert standing.numbers(found) == {1, 2, 7}
    assert standing.numbers(Belongings()) == set()
    assert standing.revision_of({"metadata": {}}) == 0
    assert standing.revision_of({"metadata": {"labels": {labels.REVISION: "two"}}}) == 0


def test_callers_are_led_somewhere_once_there_is_a_door() -> None:
    service = a_service(WISH, **HERE)
    other = a_service(a_wish(), **{**HERE, labels.REVISION: "9"})
    for kind in ("Ingress", "HTTPRoute"):
        assert standing.led(WISH, Belongings({"Service": [other, service], kind: [DOOR]})) == 2
    assert standing.led(WISH, Belongings({"Service": [service]})) is None
    assert standing.led_to(WISH, Belongings({"Service": [service]})) == 2, "door or none"
    assert standing.led(WISH, Belongings({"Service": [other], "Ingress": [DOOR]})) is None
    astray = a_service(WISH, app="others")
    assert standing.led(WISH, Belongings({"Service": [astray], "Ingress": [DOOR]})) is None


@pytest.mark.parametrize(
    ("said", "number"),
    [("revision 3", 3), ("revision", None), ("revision three", None), ("to nobody", None), ("", None)],
)
def test_the_number_that_is_said(said: str, number: int | None) -> None:
    assert standing.number(said) == number
