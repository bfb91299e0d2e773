"""What of an object is worth a word: tables of changes."""

from typing import Any
from uuid import uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.traces import better, last_manager, news, trace

ID = uuid4()


def an_object(kind: str, **parts: Any) -> Manifest:
    metadata = {
        "name": "one",
        "labels": {names.SHORT: ID.hex[:8], names.REVISION: "2", names.ROLE: "server"},
        "annotations": {names.ID: str(ID)},
        **parts.pop("metadata", {}),
    }
    return {"kind": kind, "metadata": metadata, **parts}


def a_pod(
    ready: bool = True, restarts: int = 0, waits: str = "", phase: str = "Running", **meta: Any
) -> Manifest:
    state = {"waiting": {"reason": waits}} if waits else {"running": {}}
    status = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": "server", "restartCount": restarts, "state": state}],
    }
    return an_object("Pod", status=status, spec={"containers": [{"image": "a"}]}, metadata=meta)


GOING: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, a_pod(ready=False), None),
        (None, a_pod(), None),
        (a_pod(ready=False), a_pod(), None),
        (a_pod(), a_pod(ready=False), "takes no requests any more"),
        (a_pod(), a_pod(restarts=1), "died and was begun again"),
        (a_pod(ready=False), a_pod(ready=False, waits="ContainerCreating"), None),
        (a_pod(ready=False), a_pod(ready=False, waits="CrashLoopBackOff"), "cannot run: CrashLoopBackOff"),
        (a_pod(), a_pod(**GOING), "is being ended"),
        (a_pod(), a_pod(ready=False, phase="Failed"), "failed"),
        (a_pod(**GOING), a_pod(ready=False, **GOING), None),
        (a_pod(**GOING), None, None),
        (a_pod(), None, "is gone"),
    ],
)
def test_of_pods_only_what_is_worse_is_news(
    before: Manifest | None, after: Manifest | None, told: str | None
) -> None:
    said = news(trace(before) if before else None, trace(after) if after else None)
    assert said == (told and f"Pod one {told}")


def test_of_what_we_write_any_other_wish_is_news() -> None:
    one = trace(an_object("Deployment", spec={"replicas": 1}, status={"replicas": 0}))
    same = trace(an_object("Deployment", spec={"replicas": 1}, status={"replicas": 1}))
    other = trace(an_object("Deployment", spec={"replicas": 2}))
    assert news(one, same) is None
    assert news(one, other) == "Deployment one was changed"
    assert news(one, None) == "Deployment one is gone"
    assert news(one, trace(an_object("Deployment", spec={"replicas": 1}, metadata=GOING))) is not None
    assert news(None, one) is None
    assert (one.owner, one.revision, one.short) == (ID, 2, ID.hex[:8])
    secret = [trace(an_object("Secret", data={"a": value})) for value in ("eA==", "eQ==")]
    assert news(*secret) == "Secret one was changed"


def test_a_service_says_where_it_leads() -> None:
    assert trace(an_object("Service", spec={"selector": {names.REVISION: "7"}})).leads == 7
    assert trace(an_object("Service", spec={"selector": {"app": "other"}})).leads is None


def test_one_that_takes_requests_again_is_better() -> None:
    ill, well = trace(a_pod(ready=False)), trace(a_pod())
    assert (better(ill, well), better(None, well), better(well, well), better(well, ill)) == (
        True,
        True,
        False,
        False,
    )
    assert not better(ill, trace(a_pod(**GOING)))


def entry(manager: str, time: str, **more: Any) -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": {}}, **more}


@pytest.mark.parametrize(
    ("entries", "last"),
    [
        ([], ""),
        ([entry("graphyard", "2"), entry("kubectl-edit", "1")], "graphyard"),
        ([entry("graphyard", "1"), entry("kubectl-edit", "2")], "kubectl-edit"),
        ([entry("graphyard", "1"), entry("kubectl-edit", "1")], ""),
        ([entry("kube-controller-manager", "1")], "kube-controller-manager"),
        ([entry("graphyard", "1"), entry("kube-controller-manager", "2")], "graphyard"),
        ([entry("graphyard", "1"), entry("traefik", "2", fieldsV1={"f:status": {}})], "graphyard"),
        ([entry("graphyard", "1"), entry("traefik", "2", subresource="status")], "graphyard"),
    ],
)
def test_who_wrote_last(entries: list[dict[str, Any]], last: str) -> None:
    assert last_manager({"managedFields": entries}) == last
