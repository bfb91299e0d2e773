"""What the watch knows: noted one by one, missed by somebody or by nobody, and remembered as a mark."""

from typing import Any
from uuid import uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.feed import Changed, Listed
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.known import Known
from dataplane.kubernetes.traces import trace

ID = uuid4()
SHORT = ID.hex[:8]
LABELS = {names.SHORT: SHORT, names.REVISION: "2", names.ROLE: "server"}


def an_object(kind: str, name: str, labels: dict[str, str] | None = None, **parts: Any) -> Manifest:
    metadata = {
        "name": name,
        "labels": labels or LABELS,
        "annotations": {names.ID: str(ID)},
        **parts.pop("metadata", {}),
    }
    return {"kind": kind, "metadata": metadata, **parts}


def a_pod(name: str = f"server-{SHORT}-2-abc", ready: bool = True, **parts: Any) -> Manifest:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    return an_object("Pod", name, status=status, spec={}, **parts)


def a_service(revision: str = "2") -> Manifest:
    return an_object("Service", "agent", spec={"selector": {**LABELS, names.REVISION: revision}})


def having(*objects: Manifest) -> Known:
    known = Known()
    for one in objects:
        list(known.take(one["kind"], Changed(one)))
    return known


def test_only_what_changes_is_told_and_once() -> None:
    known, before, after = Known(), a_pod(), a_pod(ready=False)
    assert list(known.take("Pod", Changed(before))) == [(None, trace(before))]
    assert list(known.take("Pod", Changed(before))) == []
    assert list(known.take("Pod", Changed(after))) == [(trace(before), trace(after))]
    assert list(known.take("Pod", Changed(after, gone=True))) == [(trace(after), None)]
    assert list(known.take("Pod", Changed(after, gone=True))) == []
    assert known.owners == {SHORT: ID}, "whose it was is known for longer"


def test_what_a_list_does_not_name_is_gone() -> None:
    one, other, third = (a_pod(name) for name in ("one", "other", "third"))
    known = having(one, other)
    found = set(known.take("Pod", Listed([other, third])))
    assert found == {(trace(one), None), (None, trace(third))}
    assert list(known.take("Service", Listed([]))) == [], "each kind for itself"


def test_each_is_noted_before_the_next_is_told() -> None:
    known = having(a_service())
    told = known.take("Deployment", Listed([an_object("Deployment", f"server-{SHORT}-2", spec={})]))
    assert not known.wanted(trace(a_pod()))
    next(told)
    assert known.wanted(trace(a_pod()))


MAKER = an_object("Deployment", f"server-{SHORT}-2", spec={})
GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
REDIS = {**LABELS, names.ROLE: "redis"}
POSTGRES = {**LABELS, names.ROLE: "postgres"}
WANTED: list[tuple[str, Manifest, list[Manifest], bool]] = [
    ("serves", a_pod(), [a_service(), MAKER], True),
    ("no door", a_pod(), [MAKER], False),
    ("another revision serves", a_pod(), [a_service("3"), MAKER], False),
    ("its maker is gone", a_pod(), [a_service()], False),
    ("its maker goes", a_pod(), [a_service(), {**MAKER, "metadata": {**MAKER["metadata"], **GOING}}], False),
    ("redis", a_pod("redis-1-0", labels=REDIS), [an_object("StatefulSet", "redis-1", REDIS)], True),
    ("redis, taken away", a_pod("redis-1-0", labels=REDIS), [], False),
    ("postgres", a_pod("pg-1", labels=POSTGRES), [an_object("Cluster", "pg", POSTGRES)], True),
    ("a build", a_pod("build-1", labels={**LABELS, names.ROLE: "build"}), [MAKER], False),
]


@pytest.mark.parametrize(
    ("pod", "there", "wanted"), [case[1:] for case in WANTED], ids=[case[0] for case in WANTED]
)
def test_whether_somebody_misses_a_pod(pod: Manifest, there: list[Manifest], wanted: bool) -> None:
    assert having(*there).wanted(trace(pod)) is wanted


def test_a_mark_changes_with_whatever_is_known() -> None:
    states = [
        having(a_pod()).marks({}),
        having(a_pod(ready=False)).marks({}),
        having(a_pod(), a_service()).marks({}),
        having(a_pod(), a_service("3")).marks({}),
        having(a_pod()).marks({SHORT: "a database"}),
    ]
    assert all(one.keys() == {SHORT} and one[SHORT][0] == ID for one in states)
    assert len({one[SHORT][1] for one in states}) == len(states)
    assert having(a_service(), a_pod()).marks({}) == having(a_pod(), a_service()).marks({})
    assert Known().marks({SHORT: "a database"}) == {}, "of nobody"
