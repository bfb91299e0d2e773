"""Whether a door is open and where it leads: tables of what hands do to it."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from dataplane.kubernetes import doors, names
from dataplane.kubernetes.belongings import Belongings
from dataplane.kubernetes.kinds import Manifest
from workflows.drift import OPEN, Fact, Field

SLUG, SHORT = "agent-12345678", "12345678"
OURS = {names.SHORT: SHORT, names.ROLE: "server", names.REVISION: "3"}


def a_service(selector: dict[str, str] | None = None, **spec: Any) -> Manifest:
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    spec = {"selector": OURS if selector is None else selector, "ports": ports, **spec}
    return {"kind": "Service", "metadata": {"name": SLUG}, "spec": spec}


def an_ingress(host: str = "agents.example", name: str = SLUG) -> Manifest:
    path = {"path": f"/d/{SLUG}", "pathType": "Prefix", "backend": {"service": {"name": SLUG}}}
    rules = [{"host": host, "http": {"paths": [path]}}]
    return {"kind": "Ingress", "metadata": {"name": name}, "spec": {"rules": rules}}


LEADS = [
    (OURS, "revision 3"),
    ({**OURS, names.PLANE: "main", names.MANAGED_BY: names.MANAGER}, "revision 3"),
    ({}, "to nobody"),
    ({**OURS, names.REVISION: "x"}, "to others"),
    ({**OURS, names.SHORT: "87654321"}, "to others"),
    ({**OURS, names.ROLE: "redis"}, "to others"),
    ({**OURS, "app": "one"}, "to others"),
    ({names.REVISION: "3"}, "to others"),
]


@pytest.mark.parametrize(("selector", "where"), LEADS)
def test_where_a_service_leads(selector: dict[str, str], where: str) -> None:
    said = doors.leads(a_service(selector), SHORT)
    assert said == where or (where == "to others" and said.startswith("to others: "))
    assert len(said) < 220


def test_a_long_selector_is_not_told_in_whole() -> None:
    assert len(doors.leads(a_service({f"label-{number}": "x" * 60 for number in range(9)}), SHORT)) < 220


def told(found: dict[str, list[Manifest]], *wanted: Manifest) -> dict[Field, str]:
    """What is said of a door, by field."""
    facts: list[Fact] = list(
        doors.facts(SLUG, SHORT, wanted or (a_service(), an_ingress()), Belongings(found))
    )
    assert {one.name for one in facts} <= {SLUG}
    assert len({one.field for one in facts}) == len(facts)
    return {one.field: one.seen for one in facts}


def test_a_door_as_it_should_be() -> None:
    found = {"Service": [a_service()], "Ingress": [an_ingress()]}
    assert told(found) == {Field.LINK: "revision 3", Field.ROUTE: OPEN}


def test_of_what_is_not_there_nothing_is_said() -> None:
    assert told({}) == {}
    assert told({"Service": [a_service()]}) == {Field.LINK: "revision 3"}
    assert told({"Ingress": [an_ingress()]}) == {Field.ROUTE: OPEN}
    elsewhere = a_service()
    elsewhere["metadata"] = {"name": "another"}
    assert told({"Service": [elsewhere]}) == {}


def test_a_door_that_leads_elsewhere() -> None:
    older = a_service({**OURS, names.REVISION: "2"})
    assert told({"Service": [older]})[Field.LINK] == "revision 2"
    assert told({"Service": [a_service({"app": "one"}, ports=[])]})[Field.LINK] == "to others: app=one"


def test_a_door_that_hands_changed() -> None:
    changed = a_service(ports=[{"name": "http", "port": 9000, "targetPort": "http"}])
    assert told({"Service": [changed]})[Field.LINK].startswith("revision 3, but otherwise: ")
    found = {"Service": [a_service()], "Ingress": [an_ingress("elsewhere.example")]}
    assert told(found)[Field.ROUTE].startswith("open otherwise: ")


def test_a_field_that_hands_put_beside_ours() -> None:
    hand = {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:externalIPs": {}}}}
    live = copy.deepcopy(a_service(externalIPs=["10.0.0.1"]))
    live["metadata"]["managedFields"] = [hand]
    assert "externalIPs" in told({"Service": [live]})[Field.LINK]


def test_one_door_of_two_is_missing() -> None:
    second = an_ingress("own.example", f"{SLUG}-own")
    found = {"Service": [a_service()], "Ingress": [an_ingress()]}
    assert told(found, a_service(), an_ingress(), second)[Field.ROUTE] == f"Ingress {SLUG}-own is missing"


def test_when_we_led_it_there() -> None:
    entries = [
        {"manager": names.MANAGER, "time": "2026-01-01T00:00:00Z"},
        {"manager": names.MANAGER, "time": "2026-01-02T00:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-01-03T00:00:00Z"},
        {"manager": names.MANAGER},
    ]
    service = a_service()
    service["metadata"]["managedFields"] = entries
    found = Belongings({"Service": [{"metadata": {"name": "another"}}, service]})
    assert doors.led_since(found, SLUG) == datetime(2026, 1, 2, tzinfo=UTC)
    assert doors.led_since(Belongings({"Service": [a_service()]}), SLUG) is None
    assert doors.led_since(Belongings(), SLUG) is None
