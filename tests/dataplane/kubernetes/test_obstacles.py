"""What keeps pods from serving: one table of what a cluster says, and what is told of it where the pod is a server and
where it keeps data."""

from dataclasses import dataclass
from typing import Any

import pytest

from dataplane.kubernetes import health, obstacles, waiting
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.obstacles import Obstacle, What
from tests.dataplane.kubernetes.pods import RUNS, a_pod, condition, over, waits
from workflows.causes import Code

LOOPS: dict[str, Any] = {"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}


@dataclass(frozen=True)
class Case:
    """A pod; whether there is hope where it is a server, and where it keeps data."""

    pod: Manifest
    what: What
    code: Code
    server: bool = True
    kept: bool = True
    coded: Code | None = None
    """The code where it keeps data, if that is another."""


def unplaced(said: str) -> Manifest:
    return a_pod(None, condition("PodScheduled", False, said))


def unpulled(reason: str, said: str = "", hope: bool = True) -> Case:
    return Case(a_pod(waits(reason, said)), What.UNPULLED, Code.IMAGE_REFUSED, hope, hope)


def unbound(said: str, server: bool = True) -> Case:
    return Case(unplaced(said), What.UNBOUND, Code.VOLUME_UNBOUND, server)


def ended(status: dict[str, Any], kept: bool = True) -> Case:
    return Case(a_pod(status), What.ENDED, Code.CRASH_LOOP, True, kept, Code.DATABASE_FAILED)


def starved(status: dict[str, Any], kept: bool) -> Case:
    return Case(a_pod(status), What.STARVED, Code.OUT_OF_MEMORY, False, kept)


def unstarted(reason: str, said: str = "no such file") -> Case:
    return Case(a_pod(waits(reason, said)), What.UNSTARTED, Code.CRASH_LOOP)


def unconfigured(said: str, server: bool = True) -> Case:
    pod = a_pod(waits("CreateContainerConfigError", said))
    return Case(pod, What.UNCONFIGURED, Code.SECRET_MISSING, server)


CASES = {
    "no room": Case(
        unplaced("0/3 nodes are available: 3 Insufficient cpu."), What.UNPLACED, Code.UNSCHEDULABLE
    ),
    "a claim that nobody fills": unbound('pod has unbound immediate PersistentVolumeClaims: "data"'),
    "no such claim": unbound('persistentvolumeclaim "data" not found', server=False),
    "no such class of volumes": unbound('storageclass.storage.k8s.io "none" not found', server=False),
    "another zone's volume": unbound("1 node(s) had volume node affinity conflict"),
    "a volume that is not bound": unbound("timed out waiting for volume binding: context deadline exceeded"),
    "as newer schedulers say it": unbound(
        'running PreBind plugin "VolumeBinding": binding volumes: timed out'
    ),
    "an image of nobody": unpulled("ErrImagePull", "manifest unknown: app:1", hope=False),
    "another's image": unpulled("ErrImagePull", "401 Unauthorized", hope=False),
    "no image's name": unpulled("InvalidImageName", hope=False),
    "an image that may not be pulled": unpulled("ErrImageNeverPull", hope=False),
    "a pull that was not yet told of": unpulled("ErrImagePull"),
    "a registry that has been away for a while": unpulled(
        "ImagePullBackOff", 'Back-off pulling image "app:1"'
    ),
    "an image of nobody, as newer kubelets go on saying": unpulled(
        "ImagePullBackOff", 'Back-off pulling image "app:1": ErrImagePull: app:1: not found', hope=False
    ),
    "a registry that is away": unpulled("ErrImagePull", "dial tcp: connection refused"),
    "a registry that is away, as it has its own reason": unpulled("RegistryUnavailable"),
    "an image that cannot be looked into": unpulled("ImageInspectError", "rpc error"),
    "an image of what prepares": Case(
        a_pod(waits("PodInitializing"), first=waits("ErrImagePull", "pull access denied")),
        What.UNPULLED,
        Code.IMAGE_REFUSED,
        False,
        False,
    ),
    "no such Secret": unconfigured('secret "keys" not found', server=False),
    "a Secret that may be synced yet": unconfigured("failed to sync secret cache"),
    "a Secret of which nothing is said": unconfigured(""),
    "no command": unstarted("RunContainerError"),
    "a name that is taken": unstarted("CreateContainerError", "name is reserved"),
    "not made, and nobody says why": unstarted("CreateContainerError", ""),
    "a death": ended({**LOOPS, "lastState": over(3)}),
    "a death just now": ended({"ready": False, "state": over(1)}),
    "one that runs again": ended({"ready": False, "state": RUNS["state"], "lastState": over(1)}),
    "a second death": ended({**LOOPS, "lastState": over(3), "restartCount": 2}, kept=False),
    "a second death just now": ended({"ready": False, "state": over(1), "restartCount": 2}),
    "an end without a fault, again and again": ended({**LOOPS, "lastState": over(0, "Completed")}),
    "too much memory": starved({**LOOPS, "lastState": over(137, "OOMKilled")}, kept=True),
    "too much memory twice": starved(
        {**LOOPS, "lastState": over(137, "OOMKilled"), "restartCount": 2}, kept=False
    ),
    "what prepares dies": Case(
        a_pod(waits("PodInitializing"), first={**LOOPS, "lastState": over(2)}),
        What.ENDED,
        Code.CRASH_LOOP,
        coded=Code.DATABASE_FAILED,
    ),
}


def server(pod: Manifest, *events: Manifest) -> Obstacle | None:
    return next(health.obstacles([pod], events), None)


def kept(pod: Manifest, *events: Manifest) -> Obstacle | None:
    return waiting.obstacle(pod, events)


EITHER = pytest.mark.parametrize("told", [server, kept])


@pytest.mark.parametrize("name", CASES)
def test_each_has_its_cause_and_as_much_hope_as_there_is(name: str) -> None:
    case = CASES[name]
    found = obstacles.first(case.pod)
    assert found is not None
    assert (found.what, found.code) == (case.what, case.code)
    for told, code, hope in (
        (server(case.pod), case.code, case.server),
        (kept(case.pod), case.coded or case.code, case.kept),
    ):
        assert told is not None
        assert (told.cause.code, told.hopeless) == (code, not hope)
        assert told.cause.message.endswith(".")
        assert ": ." not in told.cause.message, "nobody said anything, and that is told"
        assert ".." not in told.cause.message
        assert told.cause.fix
        assert found.said in told.cause.message


def test_the_table_has_all_that_pods_say() -> None:
    beside = {What.OVER_QUOTA, What.NOT_ADMITTED, What.UNMOUNTED, What.SILENT}
    assert {case.what for case in CASES.values()} == set(What) - beside


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(RUNS, ready=True),
        a_pod({**RUNS, "lastState": over(1)}, ready=True),
        a_pod({**RUNS, "lastState": over(137, "OOMKilled"), "restartCount": 5}, ready=True),
        a_pod(None, condition("PodScheduled", True)),
        a_pod(waits("ContainerCreating"), ready=False),
        a_pod(RUNS, first={"ready": True, "state": over(0, "Completed")}, ready=True),
        a_pod(waits("PodInitializing"), first={"ready": False, "state": over(0, "Completed")}, ready=False),
    ],
    ids=["serves", "died once", "was starved before", "placed", "begins", "prepared", "prepares"],
)
@EITHER
def test_no_obstacle(pod: Manifest, told: Any) -> None:
    assert told(pod) is None


@EITHER
def test_whose_last_words_are_asked_for_is_said_once_for_each_end(told: Any) -> None:
    before = told(a_pod({"ready": False, "state": {"running": {}}, "lastState": over(1)}))
    assert (before.pod, before.container, before.previous) == ("one", "server", True)
    present = told(a_pod({"ready": False, "state": over(1)}))
    assert (present.previous, present.death) == (False, before.death)
    next_one = told(a_pod({"ready": False, "state": over(1, containerID="containerd://2")}))
    assert next_one.death != before.death
    two = told(
        a_pod({"ready": False, "state": over(139, containerID="containerd://2"), "lastState": over(1)})
    )
    assert two.death == next_one.death, "the last of two"
    assert "SIGSEGV" in two.cause.message
    unheard = told(a_pod(waits("ErrImagePull")))
    assert (unheard.pod, unheard.container, unheard.death) == ("", "", ""), "it never ran"


def an_event(reason: str, message: str, at: int = 0, uid: str = "uid-one", **about: str) -> Manifest:
    return {
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-01-01T00:00:{at:02}Z",
        "involvedObject": {"uid": uid, **about},
    }


EVENTS = [
    ("Unhealthy", "Startup probe failed: connection refused", Code.PROBE_FAILING),
    ("FailedMount", 'MountVolume.SetUp failed: secret "keys" not found', Code.SECRET_MISSING),
    ("FailedMount", 'configmap "settings" not found', Code.SECRET_MISSING),
    ("FailedAttachVolume", "Multi-Attach error for volume", Code.VOLUME_UNBOUND),
]


@pytest.mark.parametrize(("reason", "message", "code"), EVENTS)
@EITHER
def test_what_only_events_say(told: Any, reason: str, message: str, code: Code) -> None:
    pod = a_pod(waits("ContainerCreating"), ready=False)
    others = an_event(reason, message, uid="x")
    found = told(pod, an_event("Pulled", "pulled", 9), an_event(reason, message, 5), others)
    assert (found.cause.code, found.hopeless) == (code, False)
    assert message in found.cause.message
    assert found.cause.fix
    assert told(pod, others) is None, "of another pod"
    assert told(a_pod(RUNS, ready=True), an_event(reason, message, 5)) is None, "it was so once"


@EITHER
def test_the_newest_event_counts(told: Any) -> None:
    events = [an_event("FailedMount", "volume", 1), an_event("Unhealthy", "probe", 2)]
    for order in (events, events[::-1]):
        found = told(a_pod({**RUNS, "ready": False}, ready=False), *order)
        assert found.cause.code is Code.PROBE_FAILING
        assert (found.pod, found.container) == ("one", "server")


@EITHER
def test_what_a_pod_says_itself_goes_before_what_is_said_of_it(told: Any) -> None:
    found = told(a_pod(waits("ErrImagePull")), an_event("FailedMount", "volume"))
    assert found.cause.code is Code.IMAGE_REFUSED


@EITHER
def test_who_does_not_answer_is_named(told: Any) -> None:
    event = an_event("Unhealthy", "no answer", fieldPath="spec.containers{beside}")
    found = told(a_pod({**RUNS, "ready": False}, ready=False), event)
    assert found.container == "beside"
    assert "beside" in found.cause.message


UNMADE = [
    ('pods "a" is forbidden: exceeded quota: small, requested: pods=1', Code.QUOTA_EXCEEDED, True),
    ('pods "a" is forbidden: violates PodSecurity "restricted"', Code.ADMISSION_DENIED, False),
    ('admission webhook "policy" denied the request: no', Code.ADMISSION_DENIED, False),
    ("Internal error: failed calling webhook: connection refused", Code.ADMISSION_DENIED, True),
]


@pytest.mark.parametrize(("said", "code", "hope"), UNMADE)
def test_why_no_pods_are_made(said: str, code: Code, hope: bool) -> None:
    now = {"status": {"conditions": [condition("ReplicaFailure", True, said)]}}
    servers, once = health.unmade(now), waiting.obstacle(None, [an_event("FailedCreate", said)])
    assert servers is not None
    assert once is not None
    assert (servers.cause.code, servers.hopeless) == (code, not hope)
    assert (once.cause.code, once.hopeless) == (code, False), "an event is of the past"
    for told in (servers, once):
        assert said in told.cause.message
        assert told.cause.fix


def test_pods_are_made_unless_it_is_said_that_they_are_not() -> None:
    over_now: Manifest = {
        "status": {"conditions": [condition("ReplicaFailure", False), condition("Available", False)]}
    }
    cases: list[Manifest | None] = [None, {}, {"status": {}}, over_now]
    assert [health.unmade(one) for one in cases] == [None] * 4
    assert waiting.obstacle(None) is None
    assert waiting.obstacle(None, [an_event("SuccessfulCreate", "made")]) is None


def test_the_newest_refusal_counts() -> None:
    events = [an_event("FailedCreate", "exceeded quota: small", 1), an_event("FailedCreate", "denied", 2)]
    for order in (events, events[::-1]):
        found = waiting.obstacle(None, order)
        assert found is not None
        assert found.cause.code is Code.ADMISSION_DENIED
