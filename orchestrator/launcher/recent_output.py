"""What each process wrote lately: an extension of supervisord's RPC, because its own can't read back from a pipe."""

import re
from collections import defaultdict, deque
from typing import Final

from supervisor import events
from supervisor.xmlrpc import Faults, RPCError

_KEPT_BYTES: Final = 64 * 1024
#: The admin token is shown once, at the very first start, and only on the terminal.
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{40,}")


class RecentOutput:
    """The namespace ``recent_output`` of the RPC."""

    def __init__(self) -> None:
        self._pieces: defaultdict[str, deque[bytes]] = defaultdict(deque)
        self._sizes: defaultdict[str, int] = defaultdict(int)
        events.subscribe(events.ProcessLogEvent, self._keep)

    def tail(self, name: str, most: int) -> str:
        """The last lines of a process, of so many bytes at most, without anything that could be a token."""
        if name not in self._pieces:
            raise RPCError(Faults.BAD_NAME, name)
        output = b"".join(self._pieces[name])
        if len(output) > most:
            output = output[-most:].partition(b"\n")[2]
        return _SECRET.sub("…", output.decode(errors="replace"))

    def _keep(self, event: events.ProcessLogEvent) -> None:
        name, data = event.process.config.name, event.data
        data = (data.encode() if isinstance(data, str) else data)[-_KEPT_BYTES:]
        pieces = self._pieces[name]
        pieces.append(data)
        self._sizes[name] += len(data)
        while self._sizes[name] > _KEPT_BYTES:
            self._sizes[name] -= len(pieces.popleft())


def make_rpc_interface(_supervisord: object) -> RecentOutput:
    """Named in the configuration, see programs.py."""
    return RecentOutput()
