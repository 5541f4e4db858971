"""When a tenant's contacts are reminded, and in which words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.domain import reminder, reminder_text
from orchestrator.domain.errors import TemplateNotFound
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import ReminderKind, Schedule
from orchestrator.domain.reminder_text import DEFAULTS
from orchestrator.store.reminder_schedules import ReminderScheduleStore
from orchestrator.store.sessions import SessionStore


@dataclass(frozen=True, slots=True)
class Template:
    """What contacts are told on an occasion, in a language."""

    kind: ReminderKind
    language: Language
    text: str
    own: bool
    """Whether the tenant has written it, or it is the default."""

    @property
    def template_id(self) -> str:
        return f"{self.kind}.{self.language}"


class ReminderSchedules:
    def __init__(
        self,
        store: ReminderScheduleStore,
        sessions: SessionStore,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock

    def new(self, session_id: str) -> Schedule:
        """One with everything as it is unless said otherwise; it is not kept yet."""
        now = self._clock()
        return Schedule(schedule_id="", session_id=session_id, since=now, created_at=now)

    async def add(self, tenant_id: str, schedule: Schedule) -> Schedule:
        """``InvalidRequest``, ``SessionNotFound``, ``ScheduleLimit``."""
        checked = reminder.checked_schedule(schedule)
        await self._sessions.get(tenant_id, checked.session_id)
        return await self._store.add(tenant_id, checked)

    async def get(self, tenant_id: str, schedule_id: str) -> Schedule:
        """``ScheduleNotFound``."""
        return await self._store.get(tenant_id, schedule_id)

    async def page(
        self, tenant_id: str, *, after: str = "", most: int, session_id: str | None = None
    ) -> list[Schedule]:
        """By id, from the one after ``after``."""
        return await self._store.page(tenant_id, after=after, most=most, session_id=session_id)

    async def change(self, tenant_id: str, schedule_id: str, how: Callable[[Schedule], Schedule]) -> Schedule:
        """Make of it what ``how`` does. ``ScheduleNotFound``, ``InvalidRequest``, ``SessionNotFound``."""
        now = self._clock()
        present = await self._store.get(tenant_id, schedule_id)
        session_id = how(present).session_id
        if session_id != present.session_id:
            await self._sessions.get(tenant_id, session_id)

        def rescheduled(before: Schedule) -> Schedule:
            return reminder.rescheduled(before, reminder.checked_schedule(how(before)), now)

        return await self._store.change(tenant_id, schedule_id, rescheduled, now)

    async def delete(self, tenant_id: str, schedule_id: str) -> None:
        """``ScheduleNotFound``."""
        await self._store.delete(tenant_id, schedule_id)

    async def templates(self, tenant_id: str) -> Sequence[Template]:
        """One for each kind and language, by id."""
        own = await self._store.templates(tenant_id)
        found = [
            Template(kind, language, own.get((kind, language), DEFAULTS[language][kind]), (kind, language) in own)
            for kind in ReminderKind
            for language in Language
        ]
        return sorted(found, key=lambda template: template.template_id)

    async def template(self, tenant_id: str, template_id: str) -> Template:
        """``TemplateNotFound``."""
        found = [one for one in await self.templates(tenant_id) if one.template_id == template_id]
        if not found:
            raise TemplateNotFound
        return found[0]

    async def set_template(self, tenant_id: str, template_id: str, text: str) -> Template:
        """``TemplateNotFound``, ``InvalidRequest``."""
        present = await self.template(tenant_id, template_id)
        await self._store.set_template(tenant_id, present.kind, present.language, reminder_text.checked(text))
        return await self.template(tenant_id, template_id)

    async def reset_template(self, tenant_id: str, template_id: str) -> None:
        """The default again. ``TemplateNotFound``."""
        present = await self.template(tenant_id, template_id)
        await self._store.remove_template(tenant_id, present.kind, present.language)
