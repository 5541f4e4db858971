"""The contacts that a tenant has reminded: one by one, and as a file."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, date, datetime

import structlog

from orchestrator.domain import contact_sheet, reminder
from orchestrator.domain.reminder import Contact, ContactState, Details
from orchestrator.services.outbox import Outbox
from orchestrator.store.reminder_contacts import Imported, ReminderContactStore
from orchestrator.store.reminder_decisions import Told

log = structlog.get_logger(__name__)

_PAGE = 500


class ReminderContacts:
    def __init__(
        self,
        store: ReminderContactStore,
        outbox: Outbox,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._clock = clock

    async def add(self, tenant_id: str, details: Details) -> Contact:
        """``InvalidRequest``, ``ContactExists`` for a phone number that another one has, ``ContactLimit``."""
        return await self._store.add(tenant_id, reminder.checked(details), self._clock())

    async def get(self, tenant_id: str, contact_id: str) -> Contact:
        """``ContactNotFound``."""
        return await self._store.get(tenant_id, contact_id)

    async def page(
        self,
        tenant_id: str,
        *,
        after: tuple[date, str, str] | None = None,
        most: int,
        search: str = "",
        state: ContactState | None = None,
    ) -> list[Contact]:
        """By due date and name, from the one after ``after``, whose due date, name and id that is; ``search`` is a part of the name or the phone number."""
        return await self._store.page(tenant_id, after=after, most=most, search=search, state=state)

    async def change(self, tenant_id: str, contact_id: str, how: Callable[[Details], Details]) -> Contact:
        """Give it the details that ``how`` makes of those that it has; another due date opens one that was paid.

        ``ContactNotFound``, ``InvalidRequest``, ``ContactExists``.
        """

        def checked(details: Details) -> Details:
            return reminder.checked(how(details))

        changed = await self._store.change(tenant_id, contact_id, checked, self._clock())
        await self._give_back(changed.outdated)
        return changed.contact

    async def pay(self, tenant_id: str, contact_id: str, due_date: date | None) -> Contact:
        """What is due on ``due_date``, or on the present one, was paid; once, however often this is said.

        ``ContactNotFound``, ``DueDateMoved``.
        """
        changed = await self._store.pay(tenant_id, contact_id, due_date, self._clock())
        await self._give_back(changed.outdated)
        return changed.contact

    async def delete(self, tenant_id: str, contact_id: str) -> None:
        """``ContactNotFound``."""
        await self._give_back(await self._store.delete(tenant_id, contact_id, self._clock()))

    async def write_in(self, tenant_id: str, content: bytes, *, dry_run: bool) -> Imported:
        """Make or change the contacts of a CSV file, by phone number; nothing of it when anything is wrong.

        ``InvalidRequest`` names lines and columns; ``ContactLimit``.
        """
        lines = contact_sheet.read(content)
        imported = await self._store.write_in(tenant_id, lines, self._clock(), dry_run=dry_run)
        await self._give_back(imported.outdated)
        log.info(
            "contacts imported",
            tenant_id=tenant_id,
            created=imported.created,
            updated=imported.updated,
            dry_run=dry_run,
        )
        return imported

    async def written_out(self, tenant_id: str) -> AsyncIterator[str]:
        """All contacts as lines of a CSV file."""
        yield contact_sheet.header()
        after: tuple[date, str, str] | None = None
        while True:
            found = await self._store.page(tenant_id, after=after, most=_PAGE)
            for line in contact_sheet.written(found):
                yield line
            if len(found) < _PAGE:
                return
            last = found[-1]
            after = last.details.due_date, last.details.name, last.contact_id

    async def _give_back(self, told: Iterable[Told]) -> None:
        """Cancel what still waits in the outbox of what isn't due any more."""
        for one in told:
            await self._outbox.give_back(one.tenant_id, one.session_id, one.message_id)
