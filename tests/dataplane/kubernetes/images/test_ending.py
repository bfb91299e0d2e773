"""What came of a build, by its Job, its pod and its last words: a table."""

from typing import Any

import pytest

from dataplane.kubernetes.images.ending import Broken, Made, ended, hindrance, hopeless, of_step
from dataplane.kubernetes.images.order import BAKE, FETCH, PUSH
from dataplane.kubernetes.kinds import Manifest
from workflows.causes import Cause, Code, Refused

RUN = "STEP 4/14: RUN for dep in /deps/*; do (cd $dep && uv pip install --system -e .); done"


def a_job(reason: str = "", message: str = "") -> Manifest:
    conditions = [{"type": "Failed", "status": "True", "reason": reason, "message": message}]
    return {"metadata": {"name": "build-0badc0de-1"}, "status": {"conditions": conditions if reason else []}}


def a_pod(
    phase: str = "Running", *, status: dict[str, Any] | None = None, **states: dict[str, Any]
) -> Manifest:
    """States by container: `{"exitCode": 1}` has ended, `{}` runs; one that is not named waits."""
    told = []
    for step in (FETCH, BAKE, PUSH):
        state: dict[str, Any] = {"waiting": {"reason": "PodInitializing"}}
        if step in states:
            state = {"terminated": states[step]} if states[step] else {"running": {}}
        told.append({"name": step, "image": "builder", "state": state})
    containers = {"initContainerStatuses": told[:2], "containerStatuses": told[2:]}
    return {
        "metadata": {"name": "build-0badc0de-1-x", "uid": "u"},
        "status": {"phase": phase, **containers, **(status or {})},
    }


DONE = {"exitCode": 0}
SAID = {"exitCode": 0, "message": '{"digest": "sha256:d", "lock": "sha256:l"}'}
FAILED = {"exitCode": 1}
EVICTED = {"reason": "Evicted", "message": "low on ephemeral-storage"}


def why(
    pod: Manifest | None, job: Manifest | None = None, *, hindered: Cause | None = None, **said: list[str]
) -> Any:
    try:
        return ended(job or a_job("BackoffLimitExceeded"), pod, said, hindered, 60)
    except (Refused, Broken) as error:
        return error


@pytest.mark.parametrize(
    ("job", "pod"),
    [
        (a_job(), None),
        (a_job(), a_pod("Pending")),
        (a_job(), a_pod(fetch={})),
        (a_job(), a_pod(fetch=DONE, bake={})),
        (a_job(), a_pod(fetch=DONE, bake=FAILED)),
    ],
)
def test_it_goes_on(job: Manifest, pod: Manifest | None) -> None:
    assert ended(job, pod, {}, None, 60) is None


def test_it_went_well_as_soon_as_it_says_so() -> None:
    assert why(a_pod(fetch=DONE, bake=DONE, push=SAID), a_job()) == Made("sha256:d", "sha256:l")
    assert isinstance(why(a_pod(fetch=DONE, bake=DONE, push=DONE)), Broken)


@pytest.mark.parametrize(
    ("pod", "lines", "code", "says"),
    [
        (
            a_pod("Failed", fetch=DONE, bake={"exitCode": 137, "reason": "OOMKilled"}),
            [],
            Code.OUT_OF_MEMORY,
            "memory",
        ),
        (
            a_pod("Failed", fetch=DONE, bake=FAILED),
            [
                RUN,
                "  × No solution found when resolving dependencies:",
                "  ╰─▶ Because nothere was not found in the",
            ],
            Code.RESOLUTION_FAILED,
            "nothere",
        ),
        (
            a_pod("Failed", fetch=DONE, bake=FAILED),
            [
                RUN,
                "  × Failed to build `small @ file:///deps/project`",
                "SyntaxError: invalid syntax",
                "Error: while",
            ],
            Code.INSTALL_FAILED,
            "SyntaxError",
        ),
        (
            a_pod("Failed", fetch=DONE, bake=FAILED),
            [RUN, "error: Failed to fetch: `x`", "  cause: dns error"],
            Code.REGISTRY_UNREACHABLE,
            "cannot be reached",
        ),
        (
            a_pod("Failed", fetch=DONE, bake=FAILED),
            ["STEP 2/14: RUN make it", "make: *** No rule", "Error: building at STEP: exit status 2"],
            Code.BUILD_COMMAND_FAILED,
            "RUN make it: make: *** No rule",
        ),
        (
            a_pod("Failed", fetch=DONE, bake=FAILED),
            ["STEP 2/14: RUN dd", "dd: No space left on device"],
            Code.DISK_FULL,
            "disk",
        ),
        (a_pod("Failed", fetch=DONE, bake=FAILED), [], Code.BUILD_COMMAND_FAILED, "it said nothing"),
        (
            a_pod(
                "Failed",
                status={"reason": "Evicted", "message": "low on ephemeral-storage"},
                fetch=DONE,
                bake=FAILED,
            ),
            [],
            Code.DISK_FULL,
            "ephemeral-storage",
        ),
    ],
)
def test_what_another_try_would_not_heal(pod: Manifest, lines: list[str], code: Code, says: str) -> None:
    found = why(pod, bake=lines)
    assert isinstance(found, Refused)
    assert found.cause.code is code
    assert says in found.cause.message
    assert found.cause.fix


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        (None, "pod is gone"),
        (a_pod("Failed", fetch=FAILED), "source or the base"),
        (a_pod("Failed", fetch=DONE, bake=DONE, push=FAILED), "the image could not be moved"),
        (a_pod("Failed", fetch=DONE, bake={"exitCode": 137, "reason": "Error"}), "ended from outside"),
        (a_pod("Failed", status={"reason": "Evicted", "message": "low on memory"}), "low on memory"),
        (a_pod("Failed"), "ended by itself"),
    ],
)
def test_what_may_pass(pod: Manifest | None, says: str) -> None:
    found = why(pod)
    assert isinstance(found, Broken)
    assert says in str(found)


@pytest.mark.parametrize(
    ("step", "last", "code", "says"),
    [
        (
            FETCH,
            "Error: initializing source docker://r/b@sha256:1: reading manifest sha256:1 in r/b: unauthorized: "
            "authentication required",
            Code.REGISTRY_UNREACHABLE,
            "pulling the base",
        ),
        (
            FETCH,
            "Error: initializing source docker://r/b@sha256:1: unable to retrieve auth token: invalid "
            "username/password: unauthorized: authentication required",
            Code.REGISTRY_UNREACHABLE,
            "pulling the base",
        ),
        (PUSH, "denied: requested access to the resource is denied", Code.REGISTRY_UNREACHABLE, "pushing"),
        (
            FETCH,
            "fetch: untrusted: unable to get local issuer certificate",
            Code.INTERNAL,
            "(unable to get local issuer certificate)",
        ),
    ],
)
def test_what_whoever_keeps_the_plane_has_to_put_right(step: str, last: str, code: Code, says: str) -> None:
    states = {FETCH: DONE, BAKE: DONE} if step == PUSH else {}
    said: dict[str, Any] = {step: ["something else", last, "and more"]}
    found = why(a_pod("Failed", **{**states, step: FAILED}), **said)
    assert isinstance(found, Refused)
    assert (found.cause.code, says in found.cause.message) == (code, True)
    assert found.cause.fix


def test_a_file_that_may_not_be_read_is_no_registry() -> None:
    found = why(a_pod("Failed", fetch=FAILED), fetch=["open /var/lib/containers/x: permission denied: no"])
    assert isinstance(found, Broken)


def test_time_runs_out() -> None:
    late = a_job("DeadlineExceeded")
    found = why(None, late)
    assert (found.cause.code, "60 seconds" in found.cause.message) == (Code.NO_PROGRESS, True)
    waits = Cause(code=Code.UNSCHEDULABLE, message="No node takes it.")
    found = why(None, late, hindered=waits)
    assert (found.cause.code, found.cause.message) == (Code.UNSCHEDULABLE, "No node takes it.")
    assert found.cause.fix


def test_why_a_pod_does_not_begin() -> None:
    pod = a_pod("Pending")
    assert (hindrance(pod), hopeless(pod)) == (None, False)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    pod["status"]["initContainerStatuses"][0]["state"] = waiting
    found = hindrance(pod)
    assert found is not None
    assert (found.code, hopeless(pod)) == (Code.IMAGE_REFUSED, True)
    assert hindrance(a_pod(fetch=DONE, bake={})) is None
    assert hindrance(None) is None


def test_only_the_last_step_is_to_blame() -> None:
    lines = [
        "STEP 1/3: RUN uv pip install x",
        "error: odd but passed",
        "STEP 2/3: RUN false",
        "exit status 1",
    ]
    found = of_step(lines).cause
    assert found.code is Code.BUILD_COMMAND_FAILED
    assert "RUN false" in found.message
