"""Takes in connections as fast as they come."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

#: Connections that wait to be taken in: programs, or a proxy, may come with hundreds at once.
BACKLOG = 1024

#: There is no room for another connection now; those that wait go on waiting.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_SECONDS = 1.0


class Site(web.BaseSite):
    """A web.TCPSite or web.UnixSite for uvloop, which takes in a single connection in each turn of its loop.

    When 200 programs connect at once and a turn takes 50 ms, the last of them would wait for ten seconds. Here all that wait
    are taken in at once.
    """

    def __init__(self, runner: web.AppRunner, name: str, bind: Callable[..., Awaitable[asyncio.Server]]) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._name = name
        self._bind = bind
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._beginning = set[asyncio.Task[None]]()

    @classmethod
    def tcp(cls, runner: web.AppRunner, host: str | None, port: int) -> "Site":
        """``host`` None: on all interfaces, IPv4 and IPv6."""
        bind = partial(asyncio.get_running_loop().create_server, host=host, port=port)
        return cls(runner, f"http://{host or '*'}:{port}", bind)

    @classmethod
    def unix(cls, runner: web.AppRunner, path: str) -> "Site":
        return cls(runner, f"http://unix:{path}:", partial(asyncio.get_running_loop().create_unix_server, path=path))

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Raises ``OSError`` when the address can't be had."""
        await super().start()
        self._server = await self._bind(self._runner.server, start_serving=False)
        for bound in self._server.sockets:
            # The loop's own are only to be looked at; this one is the same for the system.
            listening = socket.socket(fileno=os.dup(bound.fileno()))
            listening.setblocking(False)
            listening.listen(BACKLOG)
            self._listening.append(listening)
            self._listen(listening)

    async def stop(self) -> None:
        """Take in no more; connections that there are go on."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        await asyncio.gather(*self._beginning)
        await super().stop()

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._take_in, listening)

    def _take_in(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):  # whoever goes on coming doesn't keep the others from being served
            try:
                connection, _address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                log.error("no room for another connection; it waits", error=error.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(_NO_ROOM_SECONDS, self._listen, listening)
                return
            begin = self._loop.create_task(self._begin(connection))
            self._beginning.add(begin)
            begin.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            assert self._runner.server is not None
            await self._loop.connect_accepted_socket(self._runner.server, connection)
        except OSError as error:  # it is gone already
            connection.close()
            log.info("a connection ended before it began", error=error.strerror)
