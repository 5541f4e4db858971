"""When a tenant's customers are reminded, by which session, and in which words."""

import re
from collections.abc import Sequence
from typing import Any

from orchestrator.bot.texts import TEXTS
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Weekday
from orchestrator.domain.reminder_text import LONGEST_TEMPLATE
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit, first
from orchestrator.wire import reminders as wire

_MOST = 200
_SWITCHES = ("enabled", "on_due_date", "welcome", "thank")
_LANGUAGES = [(str(language), TEXTS[language].language_name) for language in Language]
_TIME = re.compile(r"([01]?[0-9]|2[0-3])[:h]([0-5][0-9])?")


async def listed(visit: Visit) -> Page:
    sessions, templates = await _sessions(visit), await first(visit.own.templates.list(), _MOST)
    values = {
        "schedules": await first(visit.own.schedules.list(), _MOST),
        "sessions": sessions,
        "new": wire.CreateReminderSchedule(session_id=sessions[0] if sessions else "", language=visit.language),
        "texts": [(name, [one for one in templates if one.language == language]) for language, name in _LANGUAGES],
        "languages": _LANGUAGES,
        "weekdays": list(Weekday),
    }
    return Page(template="reminders.html", title=visit.texts.reminders, area="reminders", values=values)


async def create(visit: Visit) -> Done:
    await visit.own.schedules.create(wire.CreateReminderSchedule(**_typed(visit)))
    return Done(note="created")


async def shown(visit: Visit) -> Page:
    schedule, sessions = await visit.own.schedules.get(visit.named("schedule_id")), await _sessions(visit)
    values = {
        "schedule": schedule,
        "sessions": list(dict.fromkeys([schedule.session_id, *sessions])),
        "languages": _LANGUAGES,
        "weekdays": list(Weekday),
    }
    return Page(template="schedule.html", title=schedule.session_id, area="reminders", values=values)


async def change(visit: Visit) -> Done:
    await visit.own.schedules.change(visit.named("schedule_id"), wire.ChangeReminderSchedule(**_typed(visit)))
    return Done(note="saved")


async def delete(visit: Visit) -> Done:
    await visit.own.schedules.delete(visit.named("schedule_id"))
    return Done(note="deleted", to=path("tenants", visit.tenant_id, "reminders"))


async def text(visit: Visit) -> Page:
    template = await visit.own.templates.get(visit.named("template_id"))
    values = {
        "template": template,
        "template_language": TEXTS[template.language].language_name,
        "longest": LONGEST_TEMPLATE,
    }
    kind = TEXTS[visit.language].reminder_kinds[template.kind]
    return Page(template="reminder_text.html", title=kind, area="reminders", values=values)


async def change_text(visit: Visit) -> Done:
    await visit.own.templates.put(visit.named("template_id"), "\n".join(visit.typed("text").splitlines()))
    return Done(note="saved")


async def reset_text(visit: Visit) -> Done:
    await visit.own.templates.delete(visit.named("template_id"))
    return Done(note="text_reset")


async def _sessions(visit: Visit) -> Sequence[str]:
    return [one.session_id for one in await first(visit.own.sessions.list(), _MOST)]


def _typed(visit: Visit) -> dict[str, Any]:
    """All of the form, as the API takes it; ``InvalidRequest``."""
    time, hours, language = (
        _TIME.fullmatch(visit.typed("time_of_day")),
        visit.typed("catch_up_hours"),
        visit.typed("language"),
    )
    if time is None:
        raise InvalidRequest(errors=[FieldError("time_of_day", "must be hh:mm")])
    if not (hours.isdecimal() and len(hours) < 10):
        raise InvalidRequest(errors=[FieldError("catch_up_hours", "must be a number")])
    if language not in set(Language):
        raise InvalidRequest(errors=[FieldError("language", f"must be out of {', '.join(Language)}")])
    return {
        "session_id": visit.typed("session_id"),
        "language": Language(language),
        "time_of_day": f"{int(time[1]):02d}:{time[2] or '00'}",
        "time_zone": visit.typed("time_zone"),
        "days_before": _days(visit, "days_before"),
        "days_after": _days(visit, "days_after"),
        "quiet_weekdays": tuple(day for day in Weekday if visit.form.get(f"quiet_{day}") == "yes"),
        "catch_up_hours": int(hours),
        **{name: visit.form.get(name) == "yes" for name in _SWITCHES},
    }


def _days(visit: Visit, name: str) -> tuple[int, ...]:
    """Numbers with anything between them; none for an empty field."""
    words = visit.typed(name).replace(",", " ").replace(";", " ").split()
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise InvalidRequest(errors=[FieldError(name, "must be numbers of days")])
    return tuple(int(word) for word in words)
