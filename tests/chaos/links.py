"""A connection between two parts that everything goes through, so that it can be cut, slowed down or half-opened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

_CHUNK = 65_536
_CHUNKS_UNDER_WAY = 1000

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """Forwards bytes of any number of connections to where ``connect`` leads. Faults concern all of them at once.

    Cut, nothing arrives any more and nobody is told; what was under way arrives when the link heals, as TCP repeats it.
    """

    def __init__(self, connect: Callable[[], Awaitable[Opened]]) -> None:
        self._connect = connect
        self._healthy = asyncio.Event()
        self._healthy.set()
        self._delay_seconds = 0.0
        self._far_ends: set[asyncio.StreamWriter] = set()
        self._orphaned: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, path: Path | None = None) -> int:
        """On a unix socket, or on a free port of loopback, which is returned (else 0)."""
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path)
            return 0
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    @contextlib.asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        self._healthy.clear()
        try:
            yield
        finally:
            self._healthy.set()

    @contextlib.asynccontextmanager
    async def slow(self, seconds: float) -> AsyncIterator[None]:
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    def half_open(self) -> int:
        """The far side of every connection is gone, and the near side isn't told; how many there were. New ones work."""
        orphaned, self._far_ends = self._far_ends, set()
        self._orphaned |= orphaned
        for writer in orphaned:
            writer.transport.abort()
        return len(orphaned)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # in which the transports close their sockets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._healthy.wait()
            far_reader, far_writer = await self._connect()
        except (OSError, asyncio.CancelledError):
            # Cancelled by `close`: asyncio of Python 3.11 would print that as an error.
            writer.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        self._far_ends.add(far_writer)
        self._writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, far_writer))
            self._tasks.add(pump)
            pump.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, far_end: asyncio.StreamWriter
    ) -> None:
        """Pass on what comes, and then its end, each after the delay that held when it came."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)

        async def deliver() -> None:
            data = b"."
            while data:
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time())
                await self._healthy.wait()
                if far_end in self._orphaned:
                    return  # half-open: the near side hears nothing, not even that
                if data:
                    sink.write(data)
                    await sink.drain()
            self._far_ends.discard(far_end)
            sink.close()

        delivering = asyncio.create_task(deliver())
        try:
            data = b"."
            while data:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                await under_way.put((loop.time() + self._delay_seconds, data))
            await delivering
        except OSError:
            self._far_ends.discard(far_end)
            sink.transport.abort()
        finally:
            delivering.cancel()
