"""Who is the bot, what it must not forget, and the updates that Telegram delivered to us."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.errors import BotLeaseLost
from orchestrator.store.database import Database
from orchestrator.store.tables import bot_documents, bot_lease, bot_updates

_lease, _documents, _updates = bot_lease.c, bot_documents.c, bot_updates.c


class BotStore:
    """Every method raises ``DatabaseUnavailable`` when it can't know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(self, holder: str, seconds: float) -> int | None:
        """Take or renew the right to be the bot; the epoch, or None while another process has it."""
        mine, now = _lease.holder == holder, sa.func.now()
        goes_on = mine & (_lease.expires_at > now)
        statement = (
            sa.update(bot_lease)
            .where(mine | _lease.holder.is_(None) | (_lease.expires_at <= now))
            .values(
                holder=holder,
                epoch=sa.case((goes_on, _lease.epoch), else_=_lease.epoch + 1),
                expires_at=now + timedelta(seconds=seconds),
            )
            .returning(_lease.epoch)
        )
        async with self._database.begin() as connection:
            epoch: int | None = (await connection.execute(statement)).scalar_one_or_none()
            return epoch

    async def release(self, holder: str) -> None:
        """Let another process be the bot at once."""
        statement = sa.update(bot_lease).where(_lease.holder == holder).values(holder=None, expires_at=None)
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def documents(self, prefix: str, *, after: str | None, most: int) -> Sequence[tuple[str, dict[str, Any]]]:
        """By name, from the one after ``after``."""
        statement = (
            sa.select(_documents.name, _documents.value)
            .where(_documents.name.startswith(prefix, autoescape=True))
            .order_by(_documents.name)
            .limit(most)
        )
        if after is not None:
            statement = statement.where(_documents.name > after)
        async with self._database.begin() as connection:
            return [(row.name, row.value) for row in await connection.execute(statement)]

    async def put_document(self, name: str, value: Mapping[str, Any], epoch: int) -> None:
        """Write it for the bot of this epoch; ``BotLeaseLost`` when there is a later one."""
        write = postgresql.insert(bot_documents).values(name=name, value=value)
        write = write.on_conflict_do_update(
            index_elements=[_documents.name], set_={"value": write.excluded.value, "written_at": sa.func.now()}
        )
        async with self._database.begin() as connection:
            await require_bot_lease(connection, epoch)
            await connection.execute(write)

    async def add_update(self, update_id: int, body: Mapping[str, Any]) -> None:
        """Keep an update until the bot has dealt with it; once, however often Telegram delivers it."""
        statement = postgresql.insert(bot_updates).values(update_id=update_id, body=body).on_conflict_do_nothing()
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def updates(self, most: int) -> Sequence[dict[str, Any]]:
        """The oldest that nobody dealt with."""
        statement = sa.select(_updates.body).order_by(_updates.update_id).limit(most)
        async with self._database.begin() as connection:
            return list((await connection.execute(statement)).scalars())

    async def forget_updates(self, update_ids: Sequence[int]) -> None:
        """They were dealt with."""
        async with self._database.begin() as connection:
            await connection.execute(sa.delete(bot_updates).where(_updates.update_id.in_(update_ids)))


async def require_bot_lease(connection: AsyncConnection, epoch: int) -> None:
    """Before the bot of this epoch writes, in the same transaction; ``BotLeaseLost`` when there is a later one."""
    # The lock makes a process that takes the lease at this moment wait, and then read what is written here.
    still_its = sa.select(_lease.epoch).where(_lease.epoch == epoch).with_for_update(read=True)
    if (await connection.execute(still_its)).one_or_none() is None:
        raise BotLeaseLost
