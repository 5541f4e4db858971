"""Listens to supervisord and writes to the operator itself, because the bot may be what is down.

Standard library only: it takes a tenth of the bot's memory, and has next to nothing that could fail.
"""

import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final, NoReturn, TextIO

from supervisor import childutils

from orchestrator.bot.texts import TEXTS, fill
from orchestrator.config import Settings

_SEND_SECONDS: Final = 5.0
#: Between two messages about one process that goes on failing.
_AGAIN_SECONDS: Final = 600.0


class Failing:
    """Which processes fail, and what is to be told of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[str, float]] = {}

    def event(self, name: str, process: str, *, expected: bool) -> str | None:
        """The state that is to be told, "RUNNING" for the end of a failure; None: nothing."""
        if name == "PROCESS_STATE_RUNNING":
            return "RUNNING" if self._told.pop(process, None) is not None else None
        if name == "PROCESS_STATE_EXITED" and expected:
            return None
        state = name.removeprefix("PROCESS_STATE_")
        worst, at = self._told.get(process, ("", 0.0))
        worse = state == "FATAL" and worst != "FATAL"
        if worst and not worse and self._clock() - at < _AGAIN_SECONDS:
            return None
        self._told[process] = (state, self._clock())
        return state


def listen(settings: Settings, events: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> int:
    """Answer supervisord's events for ever: http://supervisord.org/events.html#event-listener-notification-protocol"""
    signal.signal(signal.SIGTERM, _end)
    failing = Failing()
    while True:
        childutils.listener.ready(answers)
        line = events.readline()
        if not line:
            return 0  # supervisord is gone
        header = childutils.get_headers(line)
        payload = childutils.get_headers(events.read(int(header["len"])))
        state = failing.event(header["eventname"], payload["processname"], expected=payload.get("expected", "1") == "1")
        if state is not None:
            _tell(settings, payload["processname"], state)
        childutils.listener.ok(answers)


def _tell(settings: Settings, process: str, state: str) -> None:
    """In every language: which is the operator's is in the database, and that may be what is down."""
    host = os.environ.get("REPLICA_ID", socket.gethostname())[:6]
    lines = [
        fill(texts.process_back, process=process, host=host)
        if state == "RUNNING"
        else fill(texts.process_failed, process=process, state=state, host=host)
        for texts in TEXTS.values()
    ]
    body = json.dumps({"chat_id": settings.admin_chat_id, "text": "\n".join(lines)}).encode()
    url = f"{settings.telegram_api_url}/bot{settings.bot_token}/sendMessage"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_SEND_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        _say(f"Telegram refused an alert with status {error.code}.")
    except OSError as error:
        _say(f"An alert could not be sent: {type(error).__name__}.")


def _say(line: str) -> None:
    sys.stderr.write(json.dumps({"level": "warning", "event": line}) + "\n")
    sys.stderr.flush()


def _end(_signal_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)
