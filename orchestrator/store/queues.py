"""How much waits in the tables that are queues; for the metrics."""

from dataclasses import dataclass

import sqlalchemy as sa

from orchestrator.store.database import Database

#: What is counted at most: enough to see that something is wrong, and a bound for the count.
_COUNTED = 100_000

# Each goes through the partial index of what waits.
_WAITING = sa.text(
    f"""
    SELECT 'outbox' AS queue, count(*), coalesce(extract(epoch FROM now() - min(since)), 0)
    FROM (SELECT send_at AS since FROM outbox_messages WHERE state IN ('queued', 'sending') AND send_at <= now() LIMIT {_COUNTED}) AS o
    UNION ALL
    SELECT 'webhooks', count(*), coalesce(extract(epoch FROM now() - min(since)), 0)
    FROM (SELECT created_at AS since FROM webhook_deliveries WHERE state = 'waiting' LIMIT {_COUNTED}) AS w
    """  # noqa: S608 (a constant)
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a queue though it might go, and for how long the oldest of it does."""

    queue: str
    number: int
    oldest_seconds: float


class QueueStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> list[Waiting]:
        async with self._database.begin() as connection:
            return [
                Waiting(queue, number, float(seconds)) for queue, number, seconds in await connection.execute(_WAITING)
            ]
