"""Drift: what a plane shows of a deployment, held against what its record says. Pure.

A plane states facts, each a thing, one aspect of it and what it looks like, in the same few words on every
plane. What the record wants is a map in the same words, so comparing is a walk over two maps. What only the
plane can judge, because it needs a secret, it states as `AS_WISHED` or as what is wrong, never as a value.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel

from workflows import names
from workflows.causes import Code
from workflows.shapes import Flavour, Wish


class Field(StrEnum):
    """The aspect that differs: a closed list of words, which programs may match on."""

    PROCESS = "process"
    """A server process or pod: `RUNNING`, or what it is instead."""
    ANSWER = "answer"
    """Whether a replica that runs takes requests and reaches its databases: `ANSWERS`."""
    WORK = "work"
    """Whether runs leave a replica's queue: `MOVES`. One that answers and does nothing is the worst kind."""
    IMAGE = "image"
    ENVIRONMENT = "environment"
    """Everything a replica is started with but its image; compared by a keyed fingerprint."""
    EXTRA = "extra"
    """A server that no revision on record asks for."""
    ROUTE = "route"
    """The gateway's door: `OPEN`."""
    LINK = "link"
    """Where that door leads, and who may take runs: `revision <number>`."""
    BUNDLE = "bundle"
    """The image itself, where it lies: `WHOLE`."""
    DATABASE = "database"
    ROLE = "role"
    """`PRESENT`, or what its attributes are that should not be."""
    PASSWORD = "password"  # noqa: S105 - the name of an aspect
    GRANTS = "grants"
    CONNECTIONS = "connections"
    """The role's connection limit."""
    EXTENSION = "extension"
    REDIS = "redis"
    """The deployment's Valkey: `RUNNING` and answering."""
    REDIS_PASSWORD = "redis password"  # noqa: S105
    PERSISTENCE = "persistence"


class Severity(StrEnum):
    """What a difference means for the deployment's users."""

    DOWN = "down"
    """Requests or runs fail, or may."""
    DEGRADED = "degraded"
    """It works, with less than was asked for or other than was asked for."""
    LATENT = "latent"
    """Nobody notices yet."""


AS_WISHED, PRESENT, MISSING = "as wished", "present", "missing"
RUNNING, STARTING, SUSPENDED, STOPPING = "running", "starting", "suspended", "stopping"
ANSWERS, MOVES, OPEN, WHOLE = "answers", "moves", "open", "whole"
SILENT = "silent"
"""How one begins that takes requests and answers none: it may hang, or be busy."""

SEVERITIES = {
    Field.PROCESS: Severity.DOWN,
    Field.ANSWER: Severity.DOWN,
    Field.WORK: Severity.DOWN,
    Field.ROUTE: Severity.DOWN,
    Field.LINK: Severity.DOWN,
    Field.DATABASE: Severity.DOWN,
    Field.ROLE: Severity.DOWN,
    Field.PASSWORD: Severity.DOWN,
    Field.REDIS: Severity.DOWN,
    Field.REDIS_PASSWORD: Severity.DOWN,
    Field.IMAGE: Severity.DEGRADED,
    Field.ENVIRONMENT: Severity.DEGRADED,
    Field.GRANTS: Severity.DEGRADED,
    Field.EXTRA: Severity.LATENT,
    Field.BUNDLE: Severity.LATENT,
    Field.CONNECTIONS: Severity.LATENT,
    Field.EXTENSION: Severity.LATENT,
    Field.PERSISTENCE: Severity.LATENT,
}


class Fact(BaseModel):
    """One aspect of one thing as a plane saw it."""

    field: Field
    name: str
    seen: str
    since: datetime | None = None
    """When it became so, if the plane knows."""
    past: bool = False
    """It is over already: a process that died and runs again."""
    code: Code | None = None
    evidence: str = ""
    """A dead or hanging process's last lines, with secrets masked."""


class Difference(BaseModel):
    """Something that is not as the record says, though nobody asked for that."""

    field: Field
    name: str
    wanted: str
    seen: str
    severity: Severity
    since: datetime | None = None
    past: bool = False
    code: Code | None = None
    evidence: str = ""

    @property
    def key(self) -> str:
        """What it is about, whatever it looks like at the moment."""
        return f"{self.field} {self.name}"


PRIMARY = frozenset(
    {
        Field.PROCESS,
        Field.ROUTE,
        Field.LINK,
        Field.BUNDLE,
        Field.DATABASE,
        Field.ROLE,
        Field.REDIS,
    }
)
"""Things. A plane that looked for them and does not state one has not found it; every other field is an
aspect of one of these, and what is not stated was not looked at."""


def wanted(wish: Wish) -> dict[tuple[Field, str], str]:
    """What a plane should show of a deployment that this revision serves."""
    slug = names.slug(wish.name, wish.deployment_id)
    facts = {(Field.ROUTE, slug): OPEN, (Field.LINK, slug): f"revision {wish.number}"}
    if wish.image:
        facts[Field.BUNDLE, wish.image] = WHOLE
    for index in range(wish.replicas):
        name = names.server(wish.deployment_id, wish.number, index)
        facts |= {
            (Field.PROCESS, name): RUNNING,
            (Field.ANSWER, name): ANSWERS,
            (Field.WORK, name): MOVES,
            (Field.ENVIRONMENT, name): AS_WISHED,
        }
        if wish.image:
            facts[Field.IMAGE, name] = wish.image
    if wish.flavour is not Flavour.INMEM and not wish.custom_postgres:
        database = names.database(wish.name, wish.deployment_id)
        facts |= {(field, database): PRESENT for field in (Field.DATABASE, Field.ROLE, Field.EXTENSION)}
        facts |= {(field, database): AS_WISHED for field in (Field.PASSWORD, Field.GRANTS, Field.CONNECTIONS)}
    if wish.flavour is not Flavour.INMEM and not wish.custom_redis:
        redis = names.redis(wish.deployment_id)
        facts[Field.REDIS, redis] = RUNNING
        facts |= {(field, redis): AS_WISHED for field in (Field.REDIS_PASSWORD, Field.PERSISTENCE)}
    return facts


def compare(
    wish: Wish, facts: Sequence[Fact], looked: frozenset[Field], *, moving: bool = False
) -> list[Difference]:
    """What is not as this revision wants it, the worst first. `looked` says which kinds of things were looked
    for. While a rollout or a retirement is `moving`, servers of other revisions and a door that leads to a newer
    one are nobody's mistake."""
    should = wanted(wish)
    found = list(_stated(should, facts, moving=moving))
    stated = {(fact.field, fact.name) for fact in facts if not fact.past}
    for (field, name), value in should.items():
        if field in PRIMARY & looked and (field, name) not in stated:
            found.append(_difference(wish, Fact(field=field, name=name, seen=MISSING), value))
    order = list(Severity)
    return sorted(found, key=lambda one: (one.past, order.index(one.severity), one.key))


def sentence(difference: Difference) -> str:
    """Such as "server-1f2e3d4c-3-0 is missing" for one who knows the deployment."""
    match difference.field:
        case Field.PROCESS | Field.REDIS if difference.past:
            return f"{difference.name} died ({difference.seen}) and runs again"
        case Field.PROCESS | Field.DATABASE | Field.REDIS | Field.ROLE:
            return f"{difference.field} {difference.name} is {difference.seen}"
        case Field.EXTRA:
            return f"{difference.name} runs, and no revision asks for it"
        case _:
            return f"{difference.field} of {difference.name} is {difference.seen}"


def _stated(
    should: dict[tuple[Field, str], str], facts: Sequence[Fact], *, moving: bool
) -> Iterator[Difference]:
    replicas = sum(field is Field.PROCESS for field, _ in should)
    for fact in facts:
        value = should.get((fact.field, fact.name))
        if value is None:
            if fact.field is Field.PROCESS and not moving and not fact.past and fact.seen != STOPPING:
                extra = fact.model_copy(update={"field": Field.EXTRA})
                yield _told(extra, MISSING, Severity.LATENT)
        elif moving and fact.field is Field.LINK and _revision(fact.seen) > _revision(value):
            continue
        elif fact.seen != value or fact.past:
            yield _told(fact, value, _severity(fact, replicas))


def _difference(wish: Wish, fact: Fact, value: str) -> Difference:
    return _told(fact, value, _severity(fact, wish.replicas))


def _told(fact: Fact, value: str, severity: Severity) -> Difference:
    return Difference(**fact.model_dump(), wanted=value, severity=severity)


def _severity(fact: Fact, replicas: int) -> Severity:
    of_one = fact.field in (Field.PROCESS, Field.ANSWER, Field.WORK)
    return Severity.DEGRADED if of_one and replicas > 1 else SEVERITIES[fact.field]


def _revision(seen: str) -> int:
    """The number in "revision 3"; 0 for whatever else is stated."""
    word, _, number = seen.partition(" ")
    return int(number) if word == "revision" and number.isdecimal() else 0
