"""Log lines: JSON, one for each event, on standard output."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterable

import structlog

from orchestrator.telemetry.redaction import Redaction

log = structlog.get_logger(__name__)


class _LogOutput(io.StringIO):
    """Standard output that may be gone: when supervisord was killed, logging must not keep us from stopping."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stdout.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()


class _ToOurLog(logging.Handler):
    """What libraries log through the standard library, as lines of our own format."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """``secrets`` are hidden wherever a line has one; so is whatever looks like a secret (telemetry/redaction.py)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            Redaction(secrets),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(_LogOutput()),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToOurLog()])
