"""Listens to supervisord: a process that can't be kept alive ends the whole tree, so that the host starts it anew."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, TextIO
from xmlrpc.client import Fault

from supervisor import childutils

from orchestrator.config import SUPERVISOR_USERNAME
from orchestrator.launcher.programs import RunFolder

#: No session depends on these: to start everything anew for them would cost each session its connection.
DISPENSABLE: Final = frozenset({"bot", "alert-listener"})


def watch(environ: Mapping[str, str], events: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> int:
    """Answer supervisord's events for ever; at the first FATAL leave the reason beside the socket and ask for a shutdown.

    http://supervisord.org/events.html#event-listener-notification-protocol
    """
    signal.signal(signal.SIGTERM, _end)
    run = RunFolder(Path(environ["SUPERVISOR_SOCKET"]).parent)
    supervisor = childutils.getRPCInterface({**environ, "SUPERVISOR_USERNAME": SUPERVISOR_USERNAME}).supervisor
    while True:
        childutils.listener.ready(answers)
        header_line = events.readline()
        if not header_line:
            return 0  # supervisord is gone
        header = childutils.get_headers(header_line)
        payload = childutils.get_headers(events.read(int(header["len"])))
        fatal, name = header["eventname"] == "PROCESS_STATE_FATAL", payload["processname"]
        if fatal and name in DISPENSABLE:
            print(f"The process {name} can't be kept alive; the rest goes on.", file=sys.stderr, flush=True)
        elif fatal:
            reason = f"The process {name} ended again and again right after its start; its last lines above say why."
            run.failure.write_text(reason + "\n")
            print(f"{reason} Stopping everything.", file=sys.stderr, flush=True)
            try:
                supervisor.shutdown()
            except (OSError, Fault) as error:
                print(f"supervisord didn't take the request to stop: {error}", file=sys.stderr, flush=True)
        childutils.listener.ok(answers)


def _end(_signal_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)
