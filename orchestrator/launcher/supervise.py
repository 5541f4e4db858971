"""Becomes supervisord in this process, so that the pid that was started is the one that gets the signals (PID 1 in a container)."""

import signal
import sys
from typing import Final

from supervisor import supervisord
from supervisor.options import ServerOptions

from orchestrator.launcher.programs import RunFolder

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


def supervise(run: RunFolder) -> int:
    """Run the tree until it is asked to stop; 1 when it ended because a process couldn't be kept alive.

    The caller has blocked `STOP_SIGNALS`: a signal that came while nobody listened is delivered here.
    """
    options = _Options()
    options.realize(["--configuration", str(run.configuration)], doc=supervisord.__doc__)
    options.first = True
    options.test = False
    # Not supervisord.main(): that starts everything anew at SIGHUP, which is what a closed terminal sends.
    supervisord.go(options)
    options.close_httpservers()
    options.close_logger()
    if not run.failure.exists():
        return 0
    print(f"Stopped. {run.failure.read_text().strip()}", file=sys.stderr, flush=True)
    return 1


class _Options(ServerOptions):  # type: ignore[misc] # supervisor has no types
    def setsignals(self) -> None:
        survives_hangup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # nohup
        super().setsignals()
        if survives_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
