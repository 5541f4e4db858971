"""Which copies of the database were made, so that one replica makes the next and the others leave it to that one."""

from datetime import datetime

import sqlalchemy as sa

from orchestrator.store.database import Database

#: Minutes after which a copy that failed, or was cut off with its replica, is tried again.
RETRY_MINUTES = 15

# The lock is held for this one statement: whoever asks at the same moment waits, and then sees the row.
_LOCK = sa.text("LOCK TABLE database_backups IN SHARE ROW EXCLUSIVE MODE")

_BEGIN = sa.text(
    """
    INSERT INTO database_backups (name)
    SELECT :name WHERE NOT EXISTS (
        SELECT FROM database_backups
        WHERE (failure IS NULL AND finished_at IS NOT NULL AND started_at > now() - make_interval(secs => :every))
           OR (started_at > now() - make_interval(secs => least(:every, :retry)))
    )
    RETURNING backup_id
    """
)

_FINISH = sa.text(
    "UPDATE database_backups SET finished_at = now(), bytes = :bytes, failure = :failure WHERE backup_id = :backup_id"
)

_LAST_SUCCESS = sa.text("SELECT max(started_at) FROM database_backups WHERE bytes IS NOT NULL")

_PRUNE = sa.text("DELETE FROM database_backups WHERE started_at < now() - interval '90 days'")


class DatabaseBackupStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, name: str, every_seconds: float) -> int | None:
        """Take it on to make the copy that is due, under this name; None if none is, or if another replica does it."""
        async with self._database.begin() as connection:
            await connection.execute(_LOCK)
            parameters = {"name": name, "every": every_seconds, "retry": RETRY_MINUTES * 60.0}
            return (await connection.execute(_BEGIN, parameters)).scalar_one_or_none()

    async def finish(self, backup_id: int, *, size: int | None, failure: str | None) -> None:
        async with self._database.begin() as connection:
            await connection.execute(_FINISH, {"backup_id": backup_id, "bytes": size, "failure": failure})
            await connection.execute(_PRUNE)

    async def last_success(self) -> datetime | None:
        """When the newest copy that came to its end was begun."""
        async with self._database.begin() as connection:
            found: datetime | None = (await connection.execute(_LAST_SUCCESS)).scalar_one()
            return found
