"""All that we write is valid where it goes: by the document of the oldest Kubernetes that we support and by the schemas
of newer ones, the newest too. Strictly: what an API server would quietly drop is a fault."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import EVENT, INGRESS, POD, REPLICA_SET, VOLUME_CLAIM, Manifest, Served
from tests.dataplane.kubernetes.clusters import MIDDLE, NEW, OLD
from tests.dataplane.kubernetes.schemas import strict, take
from tests.dataplane.kubernetes.written import EVERYTHING, ours

OLDEST = strict.carried(OLD.release)
READ = {
    *(("v1", kind.name) for kind in (POD, EVENT, VOLUME_CLAIM)),
    ("apps/v1", REPLICA_SET.name),
    (f"{INGRESS.group}/v1beta1", INGRESS.name),
}
"""What is never written by itself on the oldest: only read, part of another, or of a release before it."""


def newer(release: str, manifest: Manifest) -> list[str]:
    """What a release of 1.25 or later would not take of it."""
    try:
        kubernetes_validate.validate(manifest, release, strict=True)
    except kubernetes_validate.ValidationError as fault:
        return [str(fault.message)]
    return []


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Else a file of some megabytes is read for every object."""
    with pytest.MonkeyPatch.context() as patch:
        reads = kubernetes_validate.utils.schema_contents
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(reads))
        yield


Judge = Callable[[Manifest], list[str]]
JUDGES: dict[str, tuple[Served, Judge]] = {
    "the oldest": (OLD, OLDEST.faults),
    "1.25": (MIDDLE, partial(newer, MIDDLE.release)),
    "the newest": (NEW, partial(newer, NEW.release)),
}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("case", EVERYTHING)
def test_everything_is_valid(case: str, judge: str, keys: Path) -> None:
    served, faults = JUDGES[judge]
    found = ours(case, served, keys)
    assert found
    assert {f"{one['kind']} {one['metadata']['name']}": faults(one) for one in found if faults(one)} == {}


def test_the_newest_is_the_newest_that_there_are_schemas_of() -> None:
    assert NEW.release.startswith(f"v{'.'.join(kubernetes_validate.latest_version().split('.')[:2])}.")


def test_no_kind_is_left_out(keys: Path) -> None:
    """Neither of the list nor of the document."""
    made = [one for case in EVERYTHING for one in ours(case, OLD, keys)]
    assert {(one["apiVersion"], one["kind"]) for one in made} == OLDEST.kinds - READ


@pytest.mark.apilevel
async def test_the_document_is_what_that_release_publishes(cluster: Cluster) -> None:
    release = (await cluster.served()).release
    if release != OLDEST.release:
        pytest.skip(f"the document is of {OLDEST.release}, and this cluster is {release}")
    published = await cluster.ask("GET", "/openapi/v2")
    assert take.packed(take.ours(published)) == take.file(release).read_bytes()


def changed(found: Manifest, path: str, value: Any) -> Manifest:
    """The same with this in that place, or without it."""
    found = copy.deepcopy(found)
    *way, last = [int(one) if one.isdigit() else one for one in path.split("/")]
    place: Any = found
    for one in way:
        place = place[one]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


SERVER = "spec/template/spec/containers/0"
BROKEN: list[tuple[str, str, str, Any, str]] = [
    ("a misspelt field", "Deployment", "spec/replica", 1, "'replica' was unexpected"),
    ("a misspelt field deep inside", "Deployment", f"{SERVER}/imagePullPolice", "x", "imagePullPolice"),
    ("a misspelt label's place", "Service", "metadata/label", {"a": "b"}, "'label' was unexpected"),
    ("a number as text", "Deployment", "spec/replicas", "2", "'2' is not of type"),
    ("text as a number", "Deployment", f"{SERVER}/image", 7, "7 is not of type"),
    ("a truth as text", "Deployment", "spec/paused", "true", "'true' is not of type"),
    (
        "a variable that is a number",
        "Deployment",
        f"{SERVER}/env",
        [{"name": "A", "value": 1}],
        "1 is not of",
    ),
    ("one for many", "Deployment", "spec/template/spec/containers", {"name": "a"}, "is not of type"),
    ("no selector", "Deployment", "spec/selector", None, "'selector' is a required property"),
    ("a container without a name", "Deployment", f"{SERVER}/name", None, "'name' is a required property"),
    ("a port without a number", "Service", "spec/ports/0/port", None, "'port' is a required property"),
    ("neither a number nor a name", "Service", "spec/ports/0/targetPort", True, "True is not"),
    ("a quantity that is a truth", "Deployment", f"{SERVER}/resources/requests/cpu", True, "True is not"),
]
"""A manifest's kind, what is done to it, and what must be said of it."""
STRICTER: list[tuple[str, str, str, Any, str]] = [
    ("no quantity", "Deployment", f"{SERVER}/resources/requests/memory", "10 gigs", "'10 gigs' is not valid"),
    ("half a number", "Deployment", "spec/replicas", 1.0, "1.0 is not of type 'integer'"),
    ("too large a number", "Deployment", "spec/replicas", 2**31, "is greater than the maximum"),
    ("half a number or name", "Service", "spec/ports/0/targetPort", 80.5, "80.5 is not valid"),
    ("plain text for bytes", "Secret", "data", {"a": "in the clear!"}, "'in the clear!' does not match"),
    ("no instant", "Secret", "metadata/creationTimestamp", "yesterday", "'yesterday' does not match"),
    (
        "what came later",
        "PodDisruptionBudget",
        "spec/unhealthyPodEvictionPolicy",
        "AlwaysAllow",
        "unexpected",
    ),
    ("a sleep", "Deployment", f"{SERVER}/lifecycle/preStop", {"sleep": {"seconds": 5}}, "unexpected"),
]
"""What only the document of the oldest is asked."""


@pytest.mark.parametrize("judge", ["the oldest", "the newest"])
@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_what_is_broken_is_found(kind: str, path: str, value: Any, said: str, judge: str, keys: Path) -> None:
    served, faults = JUDGES[judge]
    (sound,) = [one for one in ours("pg server, plain", served, keys) if one["kind"] == kind]
    assert faults(sound) == []
    assert said in "\n".join(faults(changed(sound, path, value)))


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), [case[1:] for case in STRICTER], ids=[case[0] for case in STRICTER]
)
def test_what_the_oldest_would_not_take(kind: str, path: str, value: Any, said: str, keys: Path) -> None:
    (sound,) = [one for one in ours("pg server, plain", OLD, keys) if one["kind"] == kind]
    assert said in "\n".join(OLDEST.faults(changed(sound, path, value)))


@pytest.mark.parametrize("quantity", ["1", "0.5", ".5", "100m", "1.5Gi", "64Mi", "1e3", "2E3", "-1k", 2, 0.5])
def test_quantities(quantity: object, keys: Path) -> None:
    (sound,) = [one for one in ours("pg server, plain", OLD, keys) if one["kind"] == "Deployment"]
    assert OLDEST.faults(changed(sound, f"{SERVER}/resources/requests/cpu", quantity)) == []


def test_a_version_that_came_later_is_unknown(keys: Path) -> None:
    (late,) = [one for one in ours("pg server, plain", NEW, keys) if one["kind"] == "PodDisruptionBudget"]
    with pytest.raises(strict.Unknown, match=r"v1\.20\.2 has no PodDisruptionBudget of policy/v1"):
        OLDEST.faults(late)


def test_faults_say_where_they_are(keys: Path) -> None:
    (sound,) = [one for one in ours("pg server, plain", OLD, keys) if one["kind"] == "Deployment"]
    (fault,) = OLDEST.faults(changed(sound, f"{SERVER}/image", 7))
    assert fault == "spec.template.spec.containers.0.image: 7 is not of type 'string'"
    assert OLDEST.faults(json.loads(json.dumps(sound))) == []
