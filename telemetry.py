"""Logs, set up the same for api and worker: structlog speaks, and library logs come out looking like ours."""

import logging
import sys
from typing import Any

import structlog

from settings import Settings

QUIET = ("httpx", "httpcore", "watchfiles", "asyncio", "uvicorn.access")
"""Libraries that tell every request; we hear of them from WARNING on."""


class ToldAlready(logging.Filter):
    """Drops what the SDK says of a failed step: the step told it itself, in words that are fit for a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure"


def configure(settings: Settings) -> None:
    """JSON lines on stdout, or colours where a person reads them."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise ValueError(f"GRAPHYARD_LOG_LEVEL {settings.log_level!r} is no level; try info or debug")
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=("workflow_id", "run_id", "workflow_type", "activity_type")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # structlog's defaults show the local variables of every frame, and with them secrets.
    if settings.log_json:
        last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(ToldAlready())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
