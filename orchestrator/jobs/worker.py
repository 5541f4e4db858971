"""Jobs on procrastinate: they wake, and they tidy. What is to be done is in rows of our own.

Each replica takes the jobs of its own queue, by which another one tells it that it has something to do, and shares the
queue of the housekeeping, which one of them does at each time. Its tables are in a schema of their own (migration 0006).
The module is imported by a thread, because the library takes half a second.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import procrastinate
import psycopg

from orchestrator.store.outbox import queue_of

_HOUSEKEEPING = "housekeeping"
#: Seconds between looks for jobs that no notification told of.
_POLL_SECONDS = 15.0
_CONCURRENCY = 4

# Said by the loop that runs the worker, in one line.
logging.getLogger("procrastinate").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Work:
    """What the jobs do."""

    drain: Callable[[int], None]
    webhooks_changed: Callable[[], None]
    each_minute: Callable[[], Awaitable[None]]


class Worker:
    """Works until it is cancelled, or until the database is out of reach: then ``run`` returns or raises."""

    def __init__(self, database_url: str, replica_id: str, work: Work) -> None:
        connector = procrastinate.PsycopgConnector(
            conninfo=database_url,
            min_size=1,
            max_size=2,
            configure=_configure,
            kwargs={"application_name": "orchestrator jobs"},
        )
        self._app = procrastinate.App(connector=connector)
        self._queues = [queue_of(replica_id), _HOUSEKEEPING]
        self._add_tasks(work)

    async def run(self) -> None:
        async with self._app.open_async():
            await self._app.run_worker_async(
                queues=self._queues,
                concurrency=_CONCURRENCY,
                install_signal_handlers=False,
                fetch_job_polling_interval=_POLL_SECONDS,
                delete_jobs="always",
                shutdown_graceful_timeout=2.0,
            )

    def _add_tasks(self, work: Work) -> None:
        @self._app.task(name="drain")
        async def drain(session_ref: int) -> None:
            work.drain(session_ref)

        @self._app.task(name="webhooks_changed")
        async def webhooks_changed() -> None:
            work.webhooks_changed()

        @self._app.periodic(cron="* * * * *")
        @self._app.task(name="each_minute", queue=_HOUSEKEEPING, queueing_lock=_HOUSEKEEPING)
        async def each_minute(timestamp: int) -> None:
            await work.each_minute()


async def _configure(connection: psycopg.AsyncConnection[object]) -> None:
    await connection.execute("SET search_path TO procrastinate")
    await connection.commit()
