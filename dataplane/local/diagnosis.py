"""Why a server died, from the last it wrote: pure. What trying again cannot heal gets a cause at once.

The server tells a failed graph in one JSON line with the user's traceback in it, other failures as plain
tracebacks or as JSON around one. A database that is away is no failure of the revision: its servers die
until it is back, and are not blamed.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from workflows.causes import Cause, Code

MOST_LINES = 20
LONGEST_LINE = 400
SHORTEST_SECRET = 6
MASK = "•••"

MEMORY = re.compile(r"memory limit exceeded: (\d+) MB in use of (\d+) MB|^(?:\w+\.)*MemoryError\b", re.M)
AWAY = re.compile(
    r"Connection refused|ConnectionRefusedError|Connect call failed|connection to server .* failed"
    r"|the database system is (?:starting up|shutting down|in recovery)|CannotConnectNow|AdminShutdown"
    r"|server closed the connection unexpectedly|terminating connection due to administrator command"
    r"|couldn't get a connection after|redis\.exceptions\.(?:ConnectionError|BusyLoadingError|TimeoutError)"
    r"|ConnectionDoesNotExistError|connection was closed in the middle of operation"
)
OUR_DATABASES = re.compile(
    r"(?:langgraph_runtime_pg/(?:database|redis_stream|checkpoint|store|migrate)|graphyard_(?:entry|cures))\.py"
)
MIGRATION = re.compile(r"alembic[/.]|langgraph_runtime_pg/migrat|upgrade_head")
IN_ENVIRON = re.compile(r"<frozen os>\", line \d+, in __getitem__\n(?:.*\n)?KeyError: '([^']+)'")
SETTING = re.compile(r"^(\w+)\n\s+Field required \[type=missing", re.M)
SPOKEN = re.compile(r"environment variable|api_key client option|Did not find \w+, please add")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
IMPORTING = re.compile(
    r"^(?:\w+\.)*(?:ModuleNotFoundError|ImportError|SyntaxError|IndentationError|TabError)\b(?:: (.*))?", re.M
)
CHAINED = "\n\nThe above exception was the direct cause of the following exception:"
LOADING = re.compile(
    r"in (?:collect_graphs_from_env|_graph_from_spec|_load_\w+|get_custom_\w+|load_custom_\w+)"
)
ERROR = re.compile(
    r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning)\b.*|SystemExit: .*)$", re.M
)


@dataclass(frozen=True)
class Diagnosis:
    """What the last words of a process say. Without a cause the next death may tell more."""

    cause: Cause | None
    away: bool = False
    """It died because Postgres or Redis was not there."""


def diagnose(tail: str, secrets: Collection[str] = ()) -> Diagnosis:
    """Judge what one process wrote from its start to its end."""
    tail = masked(tail, secrets)
    graph, traceback = _told(tail)
    last = "\n".join(last_lines(tail))
    if found := MEMORY.search(tail) or MEMORY.search(traceback):
        used = f"it used {found[1]} MB of {found[2]} MB" if found[1] else "an allocation was refused"
        return _certain(
            Code.OUT_OF_MEMORY,
            f"The server ran out of memory: {used}.",
            last,
            "Raise memory_mb in the resources, or have the agent load less at start.",
        )
    if not graph and AWAY.search(traceback) and OUR_DATABASES.search(traceback):
        return Diagnosis(None, away=True)
    who = f"The graph {graph!r}" if graph else "The project's code"
    if missing := _missing(traceback):
        return _certain(
            Code.ENVIRONMENT_MISSING,
            f"{who} needs an environment variable that is not set: {missing}.",
            last,
            "Set it as a secret of the deployment and deploy again.",
        )
    if MIGRATION.search(traceback) and not graph:
        return _certain(
            Code.MIGRATION_FAILED,
            f"The server could not bring its database's schema up to date: {_error(traceback)}.",
            last,
            "Look at the error: the database may have been changed by hand or by a newer server.",
        )
    if graph or LOADING.search(traceback) or IMPORTING.search(traceback):
        return _certain(
            Code.IMPORT_FAILED,
            f"{who} could not be loaded: {_error(traceback)}.",
            last,
            "Fix the code, or add the missing package to the project's dependencies, and deploy again.",
        )
    return Diagnosis(None)


def crash_loop(tail: str, deaths: int, secrets: Collection[str] = ()) -> Cause:
    """For a process that keeps dying of nothing known."""
    tail = masked(tail, secrets)
    error = _error(_told(tail)[1])
    because = f": {error}" if error else ""
    return Cause(
        code=Code.CRASH_LOOP,
        message=_with_lines(
            f"The server started and died {deaths} times in a row{because}.", "\n".join(last_lines(tail))
        ),
        fix="Its last lines say why; the deploy logs have the whole story.",
    )


def stuck(seconds: float, tail: str, secrets: Collection[str] = ()) -> Cause:
    """For a server that neither comes up nor dies."""
    return Cause(
        code=Code.NO_PROGRESS,
        message=_with_lines(
            f"The server neither came up nor said anything for {seconds:.0f} s.",
            "\n".join(last_lines(masked(tail, secrets))),
        ),
        fix="Something at import or in the lifespan may wait for ever; the deploy logs show how far it came.",
    )


def masked(text: str, secrets: Collection[str]) -> str:
    """The text without any of these values, as they are or as JSON writes them."""
    spelled = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    for secret in sorted(spelled, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return text


def last_lines(tail: str) -> list[str]:
    """The last lines as a person reads them: tracebacks unfolded, JSON reduced to what it says."""
    lines: list[str] = []
    for raw in tail.splitlines():
        fields = _fields(raw)
        if fields is None:
            lines.append(raw)
        else:
            # Of a chain of tracebacks the first is the project's; the rest is how the server took it.
            said = str(fields.get("user_traceback") or fields.get("event") or "").split(CHAINED)[0]
            lines += said.splitlines()
            if isinstance(fields.get("exception"), str):
                lines += str(fields["exception"]).splitlines()
    kept = [line[:LONGEST_LINE] for line in lines if line.strip() and not set(line.strip()) <= set("^~")]
    return kept[-MOST_LINES:]


def _told(tail: str) -> tuple[str, str]:
    """The graph that failed, if a line names one, and all that sounds like a traceback."""
    told: list[str] = []
    for raw in tail.splitlines():
        fields = _fields(raw)
        if fields is None:
            told.append(raw)
        elif fields.get("user_traceback"):
            return str(fields.get("graph_id") or ""), str(fields["user_traceback"])
        else:
            for key in ("event", "exception"):
                text = fields.get(key)
                if isinstance(text, str) and ("Traceback" in text or fields.get("level") == "error"):
                    told.append(text)
    return "", "\n".join(told)


def _missing(traceback: str) -> str:
    if found := IN_ENVIRON.search(traceback):
        return found[1]
    if "pydantic_settings" in traceback and (fields := SETTING.findall(traceback)):
        return ", ".join(field.upper() for field in dict.fromkeys(fields))
    for error in ERROR.findall(traceback):
        if SPOKEN.search(error):
            names = list(dict.fromkeys(VARIABLE.findall(error)))
            return ", ".join(names) if names else _brief(error)
    return ""


def _error(traceback: str) -> str:
    """The innermost error's own line: of a chain, what the first one said is what went wrong."""
    errors = [line for line in ERROR.findall(traceback) if not line.startswith("langgraph_api.")]
    return _brief(errors[0]) if errors else ""


def _brief(text: str) -> str:
    return text.strip().rstrip(".")[:LONGEST_LINE]


def _fields(raw: str) -> dict[str, object] | None:
    if not raw.startswith("{"):
        return None
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _certain(code: Code, message: str, last: str, fix: str) -> Diagnosis:
    return Diagnosis(Cause(code=code, message=_with_lines(message, last), fix=fix))


def _with_lines(message: str, last: str) -> str:
    return f"{message}\nIts last lines:\n{last}\n" if last else message
