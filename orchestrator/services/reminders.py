"""Reminding: decide of what contacts are to be told, and give that to the outbox."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from orchestrator.domain.errors import InvalidRequest, OutboxFull, SessionNotFound
from orchestrator.services.outbox import Outbox, Request
from orchestrator.store.reminders import HandedOver, Reminder, ReminderStore, Waiting
from orchestrator.wire.messages import TextMessage

log = structlog.get_logger(__name__)


class Reminders:
    def __init__(
        self,
        store: ReminderStore,
        outbox: Outbox,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._clock = clock

    async def round(self) -> bool:
        """Do some of what is due; whether there may be more.

        Raises ``DatabaseUnavailable``; the next call, of whichever replica, goes on.
        """
        more = await self._store.look(self._clock())
        waiting = await self._store.take(self._clock())
        outcomes = {one: outcome for one in waiting if (outcome := await self._handed_over(one)) is not None}
        withdrawn = await self._store.settle(list(outcomes.values()))
        for one, outcome in outcomes.items():
            if one.reminder_id in withdrawn and outcome.message_id is not None:
                await self._outbox.give_back(one.tenant_id, one.session_id, outcome.message_id)
        return more or bool(waiting)

    async def of_contact(self, tenant_id: str, contact_id: str, *, before: int | None, most: int) -> list[Reminder]:
        """Of what it was told, newest first. ``ContactNotFound``."""
        return await self._store.of_contact(tenant_id, contact_id, before=before, most=most)

    async def purge(self, *, retention_days: float) -> None:
        """Forget what belonged to tenants that were deleted so long ago. Raises ``DatabaseUnavailable``."""
        await self._store.purge(retention_days=retention_days)

    async def _handed_over(self, waiting: Waiting) -> HandedOver | None:
        """None: the outbox is full, and it is tried again in a minute."""
        if waiting.deadline <= self._clock():
            return HandedOver(waiting.reminder_id, error="deadline_passed")
        request = Request(
            TextMessage(to=waiting.phone, text=waiting.text),
            idempotency_key=f"reminder-{waiting.reminder_id}",
            deadline=waiting.deadline,
        )
        try:
            message = await self._outbox.accept(waiting.tenant_id, waiting.session_id, request, as_bulk=True)
        except OutboxFull:
            return None
        except (SessionNotFound, InvalidRequest) as error:
            log.warning("a reminder can't be sent", tenant_id=waiting.tenant_id, code=error.code)
            return HandedOver(waiting.reminder_id, error=error.code)
        return HandedOver(waiting.reminder_id, message_id=message.message_id)
