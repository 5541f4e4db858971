"""The kinds of alerts that the operator doesn't want to hear of."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.alert import AlertKind
from orchestrator.store.database import Database
from orchestrator.store.tables import muted_alerts

_KINDS = frozenset(AlertKind)


class MutedAlertStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Mapping[AlertKind, datetime]:
        """Since when each is muted; kinds of a later version are left out."""
        async with self._database.begin() as connection:
            rows = await connection.execute(sa.select(muted_alerts))
            return {AlertKind(row.kind): row.muted_at for row in rows if row.kind in _KINDS}

    async def mute(self, kind: AlertKind) -> None:
        statement = postgresql.insert(muted_alerts).values(kind=kind.value).on_conflict_do_nothing()
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def unmute(self, kind: AlertKind) -> None:
        async with self._database.begin() as connection:
            await connection.execute(sa.delete(muted_alerts).where(muted_alerts.c.kind == kind.value))
