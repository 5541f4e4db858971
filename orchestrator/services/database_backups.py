"""Copies of the whole database: made, checked, restored, and made again on a schedule."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from orchestrator.domain.database_copy import Beginning, Ending, Part, Rows
from orchestrator.domain.errors import BackupRefused, DatabaseUnavailable
from orchestrator.store import database_copy
from orchestrator.store.database_backups import DatabaseBackupStore
from orchestrator.transfer import database_file
from orchestrator.transfer.backup_places import Place

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole backup holds."""

    beginning: Beginning
    ending: Ending

    @property
    def sessions(self) -> int:
        return self.ending.rows.get("sessions", 0)


def name_at(moment: datetime) -> str:
    return f"baileys-orchestrator-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}.backup"


async def create(url: str, place: Place, name: str, passphrase: str) -> int:
    """Copy the database to a new file at the place; its bytes."""
    return await place.write(name, database_file.written(database_copy.copied_out(url), passphrase))


async def verify(pieces: AsyncIterator[bytes], passphrase: str) -> Contents:
    """Read all of a backup; ``BackupRefused`` unless every byte and every row is there."""
    parts = database_file.read(pieces, passphrase)
    beginning = await _beginning(parts)
    rows = dict.fromkeys((table.name for table in beginning.tables), 0)
    ending: Ending | None = None
    async for part in parts:
        match part:
            case Rows(table) if ending is None and table in rows:
                rows[table] += part.number
            case Ending() if ending is None:
                ending = part
            case _:
                raise BackupRefused("The backup's parts are in an order that makes no sense; it is damaged.")
    if ending is None or dict(ending.rows) != rows:
        raise BackupRefused("The backup doesn't have the rows that it should have; it is damaged.")
    return Contents(beginning, ending)


async def restore(
    url: str,
    pieces: AsyncIterator[bytes],
    passphrase: str,
    *,
    stopped: bool,
    migrate: Callable[[str, str], None],
    newest: str,
) -> Contents:
    """Write a backup into an empty database, all of it or nothing, and bring that to this version's schema.

    ``migrate`` brings the schema of a database to a version. ``stopped``: no session starts by itself.
    """
    await database_copy.require_empty(url)
    parts = database_file.read(pieces, passphrase)
    beginning = await _beginning(parts)
    await asyncio.to_thread(migrate, url, beginning.schema_version)
    ending = await database_copy.copy_in(url, beginning, parts, stopped=stopped)
    await asyncio.to_thread(migrate, url, newest)
    return Contents(beginning, ending)


async def _beginning(parts: AsyncIterator[Part]) -> Beginning:
    beginning = await anext(parts, None)
    if not isinstance(beginning, Beginning):
        raise BackupRefused("The backup doesn't begin as one; it is damaged.")
    return beginning


class ScheduledBackups:
    """Makes the copy that is due, unless another replica does; keeps the newest and removes the others."""

    def __init__(
        self, store: DatabaseBackupStore, url: str, place: Place, passphrase: str, *, every_seconds: float, keep: int
    ) -> None:
        self._store = store
        self._url = url
        self._place = place
        self._passphrase = passphrase
        self.every_seconds = every_seconds
        self._keep = keep
        self._last: datetime | None = None

    async def run_if_due(self) -> str | None:
        """The name of the copy that was made; None if none was due. Raises ``DatabaseUnavailable`` and ``BackupRefused``."""
        name = name_at(datetime.now(UTC))
        backup_id = await self._store.begin(name, self.every_seconds)
        self._last = await self._store.last_success()
        if backup_id is None:
            return None
        try:
            size = await create(self._url, self._place, name, self._passphrase)
            await verify(self._place.read(name), self._passphrase)
        except (BackupRefused, DatabaseUnavailable) as error:
            await self._store.finish(backup_id, size=None, failure=error.message)
            raise
        await self._store.finish(backup_id, size=size, failure=None)
        self._last = await self._store.last_success()
        log.info("backup made", name=name, bytes=size)
        for old in (await self._place.names())[: -self._keep]:
            await self._place.remove(old)
        return name

    def metrics(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "orchestrator_backup_schedule_seconds", "How often the database is to be copied.", value=self.every_seconds
        )
        if self._last is not None:
            yield GaugeMetricFamily(
                "orchestrator_backup_last_success_timestamp_seconds",
                "When the newest copy of the database was begun that came to its end.",
                value=self._last.timestamp(),
            )
