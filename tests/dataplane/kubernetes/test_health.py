"""How far servers are, and whose trouble counts."""

import pytest

from dataplane.kubernetes import health
from dataplane.kubernetes.kinds import Manifest
from tests.dataplane.kubernetes.pods import RUNS, a_pod, condition, over, waits
from workflows.causes import Code


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(waits("ErrImagePull", "not found"), meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        a_pod({"state": over(1)}, phase="Failed"),
    ],
    ids=["ends", "over"],
)
def test_those_that_fill_no_slot_are_in_nobody_s_way(pod: Manifest) -> None:
    assert list(health.obstacles([pod])) == []


def test_each_pod_s_first_trouble() -> None:
    pods = [
        a_pod(waits("InvalidImageName"), name="a"),
        a_pod(RUNS, name="b", ready=True),
        a_pod(None, condition("PodScheduled", False, "Insufficient memory"), name="c"),
    ]
    found = [one.cause.code for one in health.obstacles(pods)]
    assert found == [Code.IMAGE_REFUSED, Code.UNSCHEDULABLE]


def test_ready_is_as_many_as_wanted_of_the_present_template_and_no_other() -> None:
    def pod(name: str, template: str = "new", ready: bool = True, **meta: str) -> Manifest:
        return a_pod(RUNS, name=name, ready=ready, labels={"pod-template-hash": template}, meta=meta)

    two = [pod("a"), pod("b")]
    assert health.ready(two, 2, "new")
    assert health.ready(two, 2)
    assert health.ready([], 0)
    assert not health.ready(two, 3, "new")
    assert not health.ready(two, 1, "new"), "one too many"
    assert not health.ready([*two, pod("c", "old")], 2, "new"), "one of before"
    assert not health.ready([pod("a"), pod("b", ready=False)], 2, "new")
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert health.ready([*two, pod("c", "old", True, **going)], 2, "new"), "what ends does not count"


def test_the_summary_changes_with_whatever_gets_on() -> None:
    steps: list[list[Manifest]] = [
        [],
        [a_pod(None, condition("PodScheduled", False))],
        [a_pod(waits("PodInitializing"), first=waits("PodInitializing"))],
        [a_pod(waits("PodInitializing"), first={"state": {"running": {}}})],
        [a_pod(waits("ContainerCreating"))],
        [a_pod({**RUNS, "ready": False}, ready=False)],
        [a_pod({**RUNS, "ready": False, "restartCount": 1}, ready=False)],
        [a_pod({**RUNS, "restartCount": 1}, ready=True)],
    ]
    told = [health.summary({"status": {"updatedReplicas": 1}}, pods) for pods in steps]
    assert len(set(told)) == len(told)
    assert health.summary(None, []) != told[0]
    a, b = a_pod(RUNS, name="a"), a_pod(RUNS, name="b")
    assert health.summary(None, [a, b]) == health.summary(None, [b, a]), "in whatever order they are listed"


def test_a_person_is_told_how_far_it_is() -> None:
    pods = [a_pod(RUNS, name="a", ready=True), a_pod(waits("ContainerCreating"), name="b", ready=False)]
    assert health.sentence(None, pods) == "1 of 2 ready, running, starting"
    assert health.sentence(None, []) == "0 of 0 ready"
