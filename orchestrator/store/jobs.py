"""Tidies procrastinate's tables: its own workers leave what a killed one had."""

import sqlalchemy as sa

from orchestrator.store.database import Database

# A job that nobody took for that long is for a replica that is gone, or stuck in a worker that is.
_PRUNE = sa.text(
    """
    DELETE FROM procrastinate.procrastinate_jobs j
    WHERE (j.status <> 'todo' AND j.worker_id IS NULL)
       OR (j.queue_name LIKE 'replica:%' AND NOT EXISTS (
              SELECT FROM replicas r WHERE j.queue_name = 'replica:' || r.replica_id
          ))
    """
)


class JobStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune(self) -> int:
        """Forget jobs that nobody will do; how many. Raises ``DatabaseUnavailable``."""
        async with self._database.begin() as connection:
            return (await connection.execute(_PRUNE)).rowcount
