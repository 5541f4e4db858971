"""When a tenant's customers are reminded, and in which words."""

import html
import re
from typing import Any

import msgspec

from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs.contacts import own
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import TEXTS, fill
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Weekday
from orchestrator.domain.reminder_text import VARIABLES
from orchestrator.wire import reminders as wire

#: What is typed, and what is switched on and off.
_TYPED = ("time_of_day", "time_zone", "days_before", "days_after")
_SWITCHES = ("enabled", "on_due_date", "welcome", "thank")
_TIME = re.compile(r"([01]?[0-9]|2[0-3])[:h]([0-5][0-9])?")
_NONE = "-"
#: Characters of a text, with those that are written as several; a message of Telegram's has 4,096.
_LONGEST_SHOWN = 3500


async def list_texts(desk: Desk, language: str) -> Screen:
    texts = desk.texts
    found = [one async for one in own(desk).templates.list() if one.language == language]
    buttons = [
        Button(f"{'✏️ ' if one.own else ''}{texts.reminder_kinds[one.kind]}", ("text", one.template_id)) for one in found
    ]
    others = tuple(Button(TEXTS[other].language_name, ("texts", other)) for other in Language if other != language)
    title = fill(texts.reminder_texts_title, language=TEXTS[Language(language)].language_name)
    return desk.says(title, *buttons, others, back=("contacts", "", ""))


async def show_text(desk: Desk, template_id: str, note: str | None = None) -> Screen:
    texts, template = desk.texts, await own(desk).templates.get(template_id)
    text = fill(texts.reminder_text, kind=texts.reminder_kinds[template.kind], text=_begun(template.text))
    return desk.says(
        f"{note}\n\n{text}" if note else text,
        Button(texts.reminder_text_change, ("text-set?", template_id)),
        Button(texts.reminder_text_reset, ("text-reset", template_id)) if template.own else None,
        back=("texts", template.language),
    )


async def ask_text(desk: Desk, template_id: str, problem: str | None = None) -> Screen:
    ask = fill(desk.texts.reminder_text_ask, variables=", ".join(f"{{{{{name}}}}}" for name in VARIABLES))
    text = f"{problem}\n\n{ask}" if problem else ask
    return Screen(
        text=text, rows=rows(Button(desk.texts.cancel, ("text", template_id))), asks=("text-set", template_id)
    )


async def set_text(desk: Desk, template_id: str, typed: str) -> Screen:
    try:
        await own(desk).templates.put(template_id, typed)
    except InvalidRequest:
        return await ask_text(desk, template_id, desk.texts.reminder_text_wrong)
    return await show_text(desk, template_id, desk.texts.done)


async def reset_text(desk: Desk, template_id: str) -> Screen:
    await own(desk).templates.delete(template_id)
    return await show_text(desk, template_id, desk.texts.done)


async def listed(desk: Desk) -> Screen:
    texts = desk.texts
    found = [
        Button(f"{'🔔' if one.enabled else '🔕'} {one.session_id}, {one.time_of_day}", ("schedule", one.schedule_id))
        async for one in own(desk).schedules.list()
    ]
    new = [
        Button(fill_label(texts.schedule_new, one.session_id), ("schedule-new", one.session_id))
        async for one in own(desk).sessions.list()
    ]
    text = texts.schedules_title if new else f"{texts.schedules_title}\n\n{texts.schedules_connect_first}"
    return desk.says(text, *found, *new, back=("contacts", "", ""))


def fill_label(template: str, session: str) -> str:
    """Of a button, whose label is no markup."""
    return template.format(session=session)


async def create(desk: Desk, session_id: str) -> Screen:
    new = wire.CreateReminderSchedule(session_id=session_id, language=desk.chat.language)
    return _shown(desk, await own(desk).schedules.create(new), desk.texts.done)


async def show(desk: Desk, schedule_id: str) -> Screen:
    return _shown(desk, await own(desk).schedules.get(schedule_id))


def _shown(desk: Desk, plan: wire.ReminderSchedule, note: str | None = None) -> Screen:
    texts, of = desk.texts, plan.schedule_id
    text = fill(
        texts.schedule,
        session=plan.session_id,
        time=plan.time_of_day,
        zone=plan.time_zone,
        before=_days(plan.days_before),
        after=_days(plan.days_after),
        quiet=", ".join(texts.weekdays[day] for day in plan.quiet_weekdays) or "–",
        language=TEXTS[plan.language].language_name,
    )
    switches = [
        Button(
            f"{'●' if getattr(plan, name) else '○'} {texts.schedule_fields[name]}",
            ("schedule-set", of, name, "off" if getattr(plan, name) else "on"),
        )
        for name in _SWITCHES
    ]
    typed = [Button(texts.schedule_fields[name], ("schedule-set?", of, name)) for name in _TYPED]
    other = next(language for language in Language if language is not plan.language)
    return desk.says(
        f"{note}\n\n{text}" if note else text,
        *switches,
        tuple(typed[:2]),
        tuple(typed[2:]),
        (
            Button(texts.schedule_fields["quiet_weekdays"], ("schedule-days", of)),
            Button(TEXTS[other].language_name, ("schedule-set", of, "language", other)),
        ),
        Button(texts.schedule_delete, ("schedule-delete?", of)),
        back=("schedules",),
    )


async def ask_field(desk: Desk, schedule_id: str, name: str, problem: str | None = None) -> Screen:
    texts = desk.texts
    none = Button(texts.none, ("schedule-set", schedule_id, name, _NONE)) if name.startswith("days_") else None
    cancel = Button(texts.cancel, ("schedule", schedule_id))
    text = problem or texts.schedule_ask[name]
    return Screen(text=text, rows=rows(none, cancel), asks=("schedule-set", schedule_id, name))


async def set_field(desk: Desk, schedule_id: str, name: str, answer: str) -> Screen:
    try:
        changes = msgspec.convert({name: _parsed(name, answer)}, wire.ChangeReminderSchedule)
        changed = await own(desk).schedules.change(schedule_id, changes)
    except (InvalidRequest, ValueError):
        if name not in _TYPED:
            raise
        return await ask_field(desk, schedule_id, name, f"{desk.texts.not_understood}\n{desk.texts.schedule_ask[name]}")
    return _shown(desk, changed, desk.texts.done)


async def weekdays(desk: Desk, schedule_id: str, toggled: str | None = None) -> Screen:
    """Days on which nothing comes; pressing one switches it."""
    texts, schedules = desk.texts, own(desk).schedules
    plan = await schedules.get(schedule_id)
    if toggled is not None:
        quiet = tuple(day for day in Weekday if (day in plan.quiet_weekdays) != (day == toggled))
        if len(quiet) < len(Weekday):
            plan = await schedules.change(schedule_id, wire.ChangeReminderSchedule(quiet_weekdays=quiet))
    buttons = [
        Button(
            f"{'🔕' if day in plan.quiet_weekdays else '🔔'} {texts.weekdays[day]}", ("schedule-days", schedule_id, day)
        )
        for day in Weekday
    ]
    return desk.says(texts.schedule_days, *buttons, back=("schedule", schedule_id))


async def ask_delete(desk: Desk, schedule_id: str) -> Screen:
    answers = (
        Button(desk.texts.yes, ("schedule-delete", schedule_id)),
        Button(desk.texts.no, ("schedule", schedule_id)),
    )
    return Screen(text=desk.texts.schedule_delete_sure, rows=rows(answers))


async def delete(desk: Desk, schedule_id: str) -> Screen:
    await own(desk).schedules.delete(schedule_id)
    return await listed(desk)


def _begun(text: str) -> str:
    """As much of a text as a message has room for beside what stands around it."""
    shown = text
    while len(html.escape(shown)) > _LONGEST_SHOWN:
        shown = shown[: len(shown) * 9 // 10]
    return shown if shown == text else f"{shown}…"


def _days(days: tuple[int, ...]) -> str:
    return ", ".join(map(str, days)) or "–"


def _parsed(name: str, answer: str) -> Any:
    """What people type, as the API takes it; ``ValueError``."""
    if name in _SWITCHES:
        return answer == "on"
    if name == "time_of_day":
        found = _TIME.fullmatch(answer.strip().lower())
        if found is None:
            raise ValueError(answer)
        return f"{int(found[1]):02d}:{found[2] or '00'}"
    if name.startswith("days_"):
        return [] if answer == _NONE else [int(part) for part in re.split(r"[\s,;]+", answer.strip())]
    return answer
