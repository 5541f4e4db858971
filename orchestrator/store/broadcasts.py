"""Broadcasts of the Telegram bot, and how far they are."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrator.domain.broadcast import Broadcast, Progress
from orchestrator.domain.errors import BroadcastNotFound, BroadcastUnderWay
from orchestrator.store.bot import require_bot_lease
from orchestrator.store.database import Database
from orchestrator.store.tables import broadcasts

_b = broadcasts.c


def _from_row(row: Any) -> Broadcast:
    begun = row.recipients is not None
    return Broadcast(
        broadcast_id=row.broadcast_id,
        text=row.text,
        created_at=row.created_at,
        progress=Progress(recipients=row.recipients, told=row.told, failed=row.failed, after_chat=row.after_chat)
        if begun
        else None,
        ended_at=row.ended_at,
        cancelled=row.cancelled,
    )


class BroadcastStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, text: str) -> Broadcast:
        """``BroadcastUnderWay``."""
        # The index of what has not ended has room for one.
        insert = postgresql.insert(broadcasts).values(text=text).on_conflict_do_nothing().returning(broadcasts)
        async with self._database.begin() as connection:
            row = (await connection.execute(insert)).one_or_none()
        if row is None:
            raise BroadcastUnderWay
        return _from_row(row)

    async def get(self, broadcast_id: int) -> Broadcast:
        """The broadcast, or ``BroadcastNotFound``."""
        return await self._one(sa.select(broadcasts).where(_b.broadcast_id == broadcast_id))

    async def page(self, *, before: int | None, most: int) -> list[Broadcast]:
        """Newest first, from the one before ``before``."""
        statement = sa.select(broadcasts).order_by(_b.broadcast_id.desc()).limit(most)
        if before is not None:
            statement = statement.where(_b.broadcast_id < before)
        async with self._database.begin() as connection:
            return [_from_row(row) for row in await connection.execute(statement)]

    async def cancel(self, broadcast_id: int) -> Broadcast:
        """Let nobody else be told; one that has ended stays as it is. ``BroadcastNotFound``."""
        statement = (
            sa.update(broadcasts)
            .where(_b.broadcast_id == broadcast_id)
            .values(
                ended_at=sa.func.coalesce(_b.ended_at, sa.func.now()), cancelled=_b.cancelled | _b.ended_at.is_(None)
            )
            .returning(broadcasts)
        )
        return await self._one(statement)

    async def report(self, broadcast_id: int, progress: Progress, *, done: bool, epoch: int) -> Broadcast:
        """What the bot of this epoch has done, and how things are: it may have been cancelled.

        ``BotLeaseLost``, ``BroadcastNotFound``.
        """
        statement = (
            sa.update(broadcasts)
            .where(_b.broadcast_id == broadcast_id)
            .values(
                recipients=progress.recipients,
                told=progress.told,
                failed=progress.failed,
                after_chat=progress.after_chat,
                ended_at=sa.func.coalesce(_b.ended_at, sa.func.now()) if done else _b.ended_at,
            )
            .returning(broadcasts)
        )
        async with self._database.begin() as connection:
            await require_bot_lease(connection, epoch)
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise BroadcastNotFound
        return _from_row(row)

    async def _one(self, statement: sa.Executable) -> Broadcast:
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise BroadcastNotFound
        return _from_row(row)
