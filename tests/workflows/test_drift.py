"""What counts as a difference, case by case."""

from datetime import UTC, datetime

import pytest

from tests.wishes import a_wish
from workflows import names
from workflows.drift import (
    ANSWERS,
    AS_WISHED,
    MISSING,
    MOVES,
    OPEN,
    PRESENT,
    RUNNING,
    STARTING,
    STOPPING,
    SUSPENDED,
    WHOLE,
    Fact,
    Field,
    Severity,
    compare,
    sentence,
    wanted,
)
from workflows.shapes import Flavour, Wish

IMAGE = f"sha256:{'a' * 64}"
WISH = a_wish(number=3, image=IMAGE)
EVERYTHING = frozenset(Field)
SERVER = names.server(WISH.deployment_id, 3, 0)
OLDER = names.server(WISH.deployment_id, 2, 0)
DATABASE = names.database(WISH.name, WISH.deployment_id)
REDIS = names.redis(WISH.deployment_id)
SLUG = names.slug(WISH.name, WISH.deployment_id)


def well(wish: Wish = WISH) -> list[Fact]:
    """Everything as wished."""
    return [Fact(field=field, name=name, seen=seen) for (field, name), seen in wanted(wish).items()]


def ill(field: Field, name: str, seen: str, **told: object) -> list[Fact]:
    """Everything as wished but for one fact."""
    others = [one for one in well() if (one.field, one.name) != (field, name)]
    return [*others, Fact(field=field, name=name, seen=seen).model_copy(update=told)]


# field, name, seen -> severity
CASES = {
    "a server that stopped": (Field.PROCESS, SERVER, "exited", Severity.DOWN),
    "one that starts": (Field.PROCESS, SERVER, STARTING, Severity.DOWN),
    "one that somebody stopped": (Field.PROCESS, SERVER, SUSPENDED, Severity.DOWN),
    "one that is being ended": (Field.PROCESS, SERVER, STOPPING, Severity.DOWN),
    "one that does not answer": (Field.ANSWER, SERVER, "refuses connections", Severity.DOWN),
    "one that runs nothing": (Field.WORK, SERVER, "3 runs wait", Severity.DOWN),
    "another image": (Field.IMAGE, SERVER, "sha256:b", Severity.DEGRADED),
    "other variables": (Field.ENVIRONMENT, SERVER, "differs", Severity.DEGRADED),
    "a door that is closed": (Field.ROUTE, SLUG, "closed", Severity.DOWN),
    "a door to an older revision": (Field.LINK, SLUG, "revision 2", Severity.DOWN),
    "a door to nowhere": (Field.LINK, SLUG, "nowhere", Severity.DOWN),
    "a damaged image": (Field.BUNDLE, IMAGE, "damaged", Severity.LATENT),
    "a role that may not log in": (Field.ROLE, DATABASE, "nologin", Severity.DOWN),
    "another password": (Field.PASSWORD, DATABASE, "refused", Severity.DOWN),
    "grants that are gone": (Field.GRANTS, DATABASE, "no connect", Severity.DEGRADED),
    "another limit": (Field.CONNECTIONS, DATABASE, "1", Severity.LATENT),
    "an extension that is gone": (Field.EXTENSION, DATABASE, MISSING, Severity.LATENT),
    "a Valkey that is down": (Field.REDIS, REDIS, "exited", Severity.DOWN),
    "one with another password": (Field.REDIS_PASSWORD, REDIS, "none is set", Severity.DOWN),
    "one that forgets": (Field.PERSISTENCE, REDIS, "off", Severity.LATENT),
}


def test_what_is_as_wished_differs_in_nothing() -> None:
    assert compare(WISH, well(), EVERYTHING) == []


@pytest.mark.parametrize("case", CASES)
def test_one_thing_that_differs(case: str) -> None:
    field, name, seen, severity = CASES[case]
    (found,) = compare(WISH, ill(field, name, seen), EVERYTHING)
    assert (found.field, found.name, found.seen, found.severity) == (field, name, seen, severity)
    assert found.wanted == wanted(WISH)[field, name]
    assert found.key == f"{field} {name}"
    assert name in sentence(found)


@pytest.mark.parametrize(
    "field",
    [Field.PROCESS, Field.ROUTE, Field.LINK, Field.BUNDLE, Field.DATABASE, Field.ROLE, Field.REDIS],
)
def test_a_thing_that_was_looked_for_and_not_found_is_missing(field: Field) -> None:
    facts = [one for one in well() if one.field is not field]
    (found,) = compare(WISH, facts, EVERYTHING)
    assert (found.field, found.seen) == (field, MISSING)
    assert compare(WISH, facts, EVERYTHING - {field}) == []


def test_an_aspect_that_is_not_stated_was_not_looked_at() -> None:
    stated = {
        Field.PROCESS,
        Field.ROUTE,
        Field.LINK,
        Field.BUNDLE,
        Field.DATABASE,
        Field.ROLE,
        Field.REDIS,
    }
    assert compare(WISH, [one for one in well() if one.field in stated], EVERYTHING) == []


def test_one_replica_of_several_is_not_the_whole() -> None:
    wish = a_wish(number=3, image=IMAGE, replicas=2)
    facts = [one for one in well(wish) if not one.name.endswith("-3-1")]
    (found,) = compare(wish, facts, EVERYTHING)
    assert (found.field, found.severity) == (Field.PROCESS, Severity.DEGRADED)


def test_a_death_that_is_over_is_told_as_such_and_hides_nothing() -> None:
    died = Fact(field=Field.PROCESS, name=SERVER, seen="killed", past=True, since=datetime.now(UTC))
    (found,) = compare(WISH, [*well(), died], EVERYTHING)
    assert (found.past, found.since) == (True, died.since)
    assert "runs again" in sentence(found)
    gone = [one for one in well() if one.field is not Field.PROCESS]
    assert [one.past for one in compare(WISH, [*gone, died], EVERYTHING)] == [False, True]


def test_a_server_of_another_revision_is_one_too_many_unless_something_moves() -> None:
    older = Fact(field=Field.PROCESS, name=OLDER, seen=RUNNING)
    (found,) = compare(WISH, [*well(), older], EVERYTHING)
    assert (found.field, found.name, found.wanted) == (Field.EXTRA, OLDER, MISSING)
    assert compare(WISH, [*well(), older], EVERYTHING, moving=True) == []
    stopping = older.model_copy(update={"seen": STOPPING})
    assert compare(WISH, [*well(), stopping], EVERYTHING) == []


@pytest.mark.parametrize(
    ("seen", "differs"), [("revision 4", False), ("revision 2", True), ("nowhere", True)]
)
def test_a_rollout_may_have_led_the_door_on(seen: str, differs: bool) -> None:
    facts = ill(Field.LINK, SLUG, seen)
    assert bool(compare(WISH, facts, EVERYTHING, moving=True)) is differs
    assert compare(WISH, facts, EVERYTHING) != []


def test_the_worst_comes_first() -> None:
    facts = [one for one in well() if one.field not in (Field.BUNDLE, Field.DATABASE, Field.PROCESS)]
    facts = [one for one in facts if one.field is not Field.ENVIRONMENT]
    facts.append(Fact(field=Field.ENVIRONMENT, name=SERVER, seen="differs"))
    found = [one.field for one in compare(WISH, facts, EVERYTHING)]
    assert found == [Field.DATABASE, Field.PROCESS, Field.ENVIRONMENT, Field.BUNDLE]


def test_what_is_the_callers_own_is_not_wanted() -> None:
    own = a_wish(custom_postgres=True, custom_redis=True)
    assert not {field for field, _ in wanted(own)} & {Field.DATABASE, Field.ROLE, Field.REDIS}
    preview = a_wish(flavour=Flavour.INMEM)
    assert not {field for field, _ in wanted(preview)} & {Field.DATABASE, Field.ROLE, Field.REDIS}


def test_every_word_is_said_somewhere() -> None:
    said = set(wanted(WISH).values())
    assert said >= {ANSWERS, AS_WISHED, MOVES, OPEN, PRESENT, RUNNING, WHOLE, IMAGE, "revision 3"}
    assert {one[0] for one in wanted(WISH)} == EVERYTHING - {Field.EXTRA}
