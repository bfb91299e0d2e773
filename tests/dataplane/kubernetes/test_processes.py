"""What pods' servers are, in the words of drift: tables of what the API shows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dataplane.kubernetes import processes
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.processes import DEAD, LOOPING, NODE_AWAY, UNCONFIGURED, UNPLACED, UNPULLED
from tests.dataplane.kubernetes.pods import RUNS, a_pod, condition, over, waits
from workflows.causes import Code
from workflows.drift import MISSING, RUNNING, STARTING, STOPPING

GOING = {"deletionTimestamp": "2026-01-01T00:03:00Z"}
ENDED = datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
AWAY = (condition("Ready", False), condition("ContainersReady", True))


def looping(restarts: int, **last: Any) -> Manifest:
    return a_pod(waits("CrashLoopBackOff", restartCount=restarts, **last))


STATES: list[tuple[str, Manifest, str, Code | None]] = [
    ("serves", a_pod(RUNS, ready=True), RUNNING, None),
    ("runs and is not ready", a_pod({**RUNS, "ready": False}, ready=False), RUNNING, None),
    ("begins", a_pod({**RUNS, "started": False}, ready=False), STARTING, None),
    ("is made", a_pod(waits("ContainerCreating")), STARTING, None),
    ("is nothing yet", a_pod(), STARTING, None),
    ("ends", a_pod(RUNS, meta=GOING), STOPPING, None),
    ("ends without a node", a_pod(None, condition("PodScheduled", False), meta=GOING), STOPPING, None),
    ("finds no room", a_pod(None, condition("PodScheduled", False)), UNPLACED, Code.UNSCHEDULABLE),
    ("has a node", a_pod(waits("ContainerCreating"), condition("PodScheduled", True)), STARTING, None),
    ("lost its node", a_pod(RUNS, *AWAY), NODE_AWAY, None),
    (
        "waits for somebody's gate",
        a_pod(RUNS, *AWAY, spec={"readinessGates": [{"conditionType": "x"}]}),
        RUNNING,
        None,
    ),
    ("has no image", a_pod(waits("ErrImagePull")), UNPULLED, Code.IMAGE_REFUSED),
    ("has no image yet", a_pod(waits("ImagePullBackOff")), UNPULLED, Code.IMAGE_REFUSED),
    ("has no Secret", a_pod(waits("CreateContainerConfigError")), UNCONFIGURED, Code.SECRET_MISSING),
    ("died", a_pod({"state": over(1)}), STARTING, None),
    ("died for good", a_pod({"state": over(1)}, spec={"restartPolicy": "Never"}), DEAD, None),
    (
        "died of memory for good",
        a_pod({"state": over(137, "OOMKilled")}, spec={"restartPolicy": "Never"}),
        DEAD,
        Code.OUT_OF_MEMORY,
    ),
    ("died once", looping(1, lastState=over(1)), STARTING, None),
    ("dies again and again", looping(3, lastState=over(1)), LOOPING, Code.CRASH_LOOP),
    ("dies, nobody knows how", looping(3), LOOPING, Code.CRASH_LOOP),
    ("dies of memory", looping(3, lastState=over(137, "OOMKilled")), LOOPING, Code.OUT_OF_MEMORY),
]


@pytest.mark.parametrize(
    ("pod", "seen", "code"), [case[1:] for case in STATES], ids=[case[0] for case in STATES]
)
def test_how_a_server_is(pod: Manifest, seen: str, code: Code | None) -> None:
    found = processes.state(pod)
    assert (found.seen, found.code) == (seen, code)


def test_since_when_it_is_so() -> None:
    moved = condition("PodScheduled", False, "no room", lastTransitionTime="2026-01-01T00:02:00Z")
    unplaced = processes.state(a_pod(None, moved))
    assert (unplaced.since, unplaced.said) == (ENDED, "no room")
    assert processes.state(looping(3, lastState=over(1))).since == ENDED
    assert processes.state(looping(3)).since is None
    assert processes.state(a_pod(waits("ErrImagePull", "not found"))).said == "not found"


def test_living_pods_fill_slots_in_the_order_they_were_made() -> None:
    def pod(name: str, second: int, **status: Any) -> Manifest:
        return a_pod(name=name, meta={"creationTimestamp": f"2026-01-01T00:00:{second:02}Z"}, **status)

    pods = [
        pod("c", 1),
        pod("b", 3),
        pod("a", 3),
        pod("evicted", 0, phase="Failed"),
        pod("over", 0, phase="Succeeded"),
        pod("waits", 2, phase="Pending"),
        a_pod(name="going", meta=GOING),
    ]
    for order in (pods, pods[::-1]):
        assert [one["metadata"]["name"] for one in processes.living(order)] == ["c", "waits", "a", "b"]


ENDS: list[tuple[str, Manifest, str, Code | None, bool]] = [
    ("now", a_pod({"state": over(1)}), "exit status 1", None, False),
    ("before", a_pod({**RUNS, "lastState": over(143)}), "SIGTERM", None, True),
    ("again", looping(2, lastState=over(137)), "SIGKILL", None, False),
    ("of memory", a_pod({**RUNS, "lastState": over(137, "OOMKilled")}), "out of memory", Code.OUT_OF_MEMORY, True),
    ("well", a_pod({"state": over(0)}), "exit status 0", None, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pod", "how", "code", "previous"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS]
)
def test_how_a_server_ended(pod: Manifest, how: str, code: Code | None, previous: bool) -> None:
    (found,) = processes.ends([pod])
    assert (found.pod, found.at, found.how, found.code) == ("one", ENDED, how, code)
    assert (found.previous, found.legible) == (previous, True)


def test_a_pod_that_was_evicted_ended_as_a_whole() -> None:
    evicted = a_pod(phase="Failed", reason="Evicted", message="The node was low on memory.")
    (found,) = processes.ends([evicted])
    assert (found.how, found.said, found.legible) == ("evicted", "The node was low on memory.", False)
    assert found.at > processes.made(evicted)
    (later,) = processes.ends([a_pod({"state": over(137)}, phase="Failed", reason="NodeShutdown")])
    assert (later.how, later.at) == ("nodeshutdown", ENDED)


def test_only_ends_that_nobody_asked_for_and_that_are_new() -> None:
    assert not list(processes.ends([a_pod({"state": over(143)}, meta=GOING), a_pod(RUNS), a_pod()]))
    died = a_pod({"state": over(1)})
    assert list(processes.ends([died], datetime(2026, 1, 1, 0, 1, tzinfo=UTC)))
    assert not list(processes.ends([died], ENDED))


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "exit status 0"), (1, "exit status 1"), (128, "exit status 128"), (139, "SIGSEGV"), (255, "exit status 255")],
)  # fmt: skip
def test_a_signal_is_told_by_its_name(code: int, word: str) -> None:
    assert processes.word(code) == word


PULLS = [
    ("ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused", False),
    ("ErrImagePull", "received unexpected HTTP status: 503 Service Unavailable", False),
    ("ImagePullBackOff", 'Back-off pulling image "app:1"', False),
    ("ImagePullBackOff", 'Back-off pulling image "app:1": ErrImagePull: app:1: not found', True),
    ("ErrImagePull", "pull access denied, repository does not exist", True),
    ("ErrImagePull", f'rpc error: code = Unknown desc = pull "{"x" * 500}": 401 Unauthorized', True),
    ("ErrImagePull", "rpc error: code = NotFound desc = failed to pull", True),
    ("InvalidImageName", "", True),
    ("ErrImageNeverPull", "", True),
]


@pytest.mark.parametrize(("reason", "said", "never"), PULLS)
def test_a_refusal_is_told_from_a_registry_that_is_away(reason: str, said: str, never: bool) -> None:
    assert processes.unpullable(reason, said) is never


def test_what_a_server_is_made_from() -> None:
    def spec(image: str, name: str = "server") -> dict[str, Any]:
        return {"containers": [{"name": "beside", "image": "x"}, {"name": name, "image": image}]}

    assert processes.image(spec("registry/app@sha256:1")) == "sha256:1"
    assert processes.image(spec("registry/app:1")) == "registry/app:1"
    for nothing in (spec("a", "other"), {}, None):
        assert processes.image(nothing) == MISSING


def test_it_takes_requests_until_it_is_told_to_end() -> None:
    assert processes.ready(a_pod(RUNS, ready=True))
    assert not processes.ready(a_pod(RUNS, ready=False))
    assert not processes.ready(a_pod(RUNS))
    assert not processes.ready(a_pod(RUNS, ready=True, meta=GOING))
    assert processes.address(a_pod(podIP="10.0.0.1")) == "10.0.0.1"
    assert processes.address(a_pod()) is None


def test_when_it_was_begun() -> None:
    assert processes.begun(a_pod(RUNS)) == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert processes.begun(a_pod(waits("ContainerCreating"))) == datetime(2026, 1, 1, tzinfo=UTC)
