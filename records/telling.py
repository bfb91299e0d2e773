"""What differs, as one would say it of a deployment in half a sentence: "my-agent lost a replica"."""

from collections.abc import Sequence

from workflows.drift import MISSING, Difference, Field, Severity

SAID = {
    Field.IMAGE: "runs another image",
    Field.ENVIRONMENT: "runs with another environment",
    Field.ROUTE: "lost its route",
    Field.LINK: "is led elsewhere",
    Field.BUNDLE: "has a damaged image",
    Field.DATABASE: "lost its database",
    Field.ROLE: "lost its database role",
    Field.PASSWORD: "has another database password",
    Field.GRANTS: "lacks database grants",
    Field.CONNECTIONS: "has another connection limit",
    Field.EXTENSION: "lacks a database extension",
    Field.REDIS: "lost its Redis",
    Field.REDIS_PASSWORD: "has another Redis password",
    Field.PERSISTENCE: "has a Redis that forgets",
}
OF_REPLICAS = {
    Field.ANSWER: "that {does} not answer",
    Field.WORK: "that {does} no work",
    Field.EXTRA: "that nobody asked for",
}


def told(name: str, differences: Sequence[Difference], replicas: int) -> str:
    """The worst of what differs, and how many other aspects do."""
    worst = min(differences, key=_rank)
    alike = [one for one in differences if (one.field, one.seen) == (worst.field, worst.seen)]
    others = len({one.field for one in differences} - {worst.field})
    return f"{name} {_said(worst, len(alike), replicas)}" + (f" and {others} more" if others else "")


def _rank(one: Difference) -> tuple[int, int]:
    """What it means for users first, then servers before what is around them."""
    return list(Severity).index(one.severity), list(Field).index(one.field)


def _said(worst: Difference, alike: int, replicas: int) -> str:
    count = "a replica" if alike == 1 else f"{alike} replicas"
    match worst.field:
        case Field.PROCESS if worst.seen == MISSING:
            return "lost all its replicas" if alike == replicas > 1 else f"lost {count}"
        case Field.PROCESS:
            return f"has {count} that {'is' if alike == 1 else 'are'} {worst.seen}"
        case Field.REDIS | Field.ROLE if worst.seen != MISSING:
            thing = "Redis" if worst.field is Field.REDIS else "database role"
            return f"has a {thing} that is {worst.seen}"
        case Field.LINK if worst.seen == MISSING:
            return "is led nowhere"
        case field if field in OF_REPLICAS:
            does = "does" if alike == 1 else "do"
            return f"has {count} {OF_REPLICAS[field].format(does=does)}"
        case field:
            return SAID[field]
