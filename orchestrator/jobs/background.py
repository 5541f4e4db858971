"""The one way in which background work starts: it is kept, it is told when to end, and its failure is reported."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

Loop = Callable[[asyncio.Event], Awaitable[None]]


class Background:
    """A group of loops, each given the same stop event. A loop that fails ends the process: supervisord restarts it."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.failed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, loop: Loop) -> None:
        task = asyncio.create_task(self._run(name, loop), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """End all loops at their next wait, and those that don't in 5 s by force."""
        self.stop.set()
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=5.0)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _run(self, name: str, loop: Loop) -> None:
        try:
            await loop(self.stop)
        except Exception:
            log.exception("background work failed", name=name)
            self.failed = True
            self.stop.set()


async def pause(stop: asyncio.Event, seconds: float, wake: asyncio.Event | None = None) -> None:
    """Wait for ``seconds``, or until it is time to stop or ``wake`` is set (which is then cleared)."""
    waits = [asyncio.ensure_future(event.wait()) for event in (stop, wake) if event is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if wake is not None:
        wake.clear()
