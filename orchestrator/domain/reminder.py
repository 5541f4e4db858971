"""Reminders: what a tenant's contacts owe, and of what they are to be told when.

A contact here is somebody who pays a tenant. Days are those of the schedule's time zone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from orchestrator.domain import pix_code
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.language import Language
from orchestrator.domain.plan import Period, PeriodUnit, anchored
from orchestrator.domain.recipient import phone_digits

#: What a tenant can have.
MOST_CONTACTS: Final = 20_000
MOST_SCHEDULES: Final = 20

LONGEST_NAME: Final = 100
LONGEST_NOTE: Final = 500
MOST_CENTS: Final = 100_000_000_00
EARLIEST: Final = date(2000, 1, 1)
LATEST: Final = date(2199, 12, 31)
#: Days between a reminder and the due date.
MOST_DAYS: Final = 60
MOST_REMINDERS: Final = 10
DEFAULT_TIME_ZONE: Final = "America/Sao_Paulo"

#: What is sent late is still given so long to leave.
_LEAST_TO_LEAVE = timedelta(hours=1)


class ReminderKind(StrEnum):
    BEFORE_DUE = "before_due"
    DUE = "due"
    OVERDUE = "overdue"
    PAID = "paid"
    WELCOME = "welcome"


class Recurrence(StrEnum):
    NONE = "none"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


class ContactState(StrEnum):
    OPEN = "open"
    PAID = "paid"
    """Nothing more is due."""


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_WEEKDAYS = tuple(Weekday)

_PERIODS = {
    Recurrence.WEEKLY: Period(PeriodUnit.DAY, 7),
    Recurrence.MONTHLY: Period(PeriodUnit.MONTH, 1),
    Recurrence.YEARLY: Period(PeriodUnit.MONTH, 12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a tenant says of a contact."""

    name: str
    phone: str
    """Digits, with country code."""
    amount_cents: int
    """Of reais."""
    due_date: date
    due_day: int | None = None
    """On which day of the month it is due where the month has it; None: that of ``due_date``."""
    recurrence: Recurrence = Recurrence.NONE
    note: str = ""
    pix_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    contact_id: str
    details: Details
    state: ContactState
    due_since: datetime
    """Since when its due date is this one: what should have been told before isn't told any more."""
    paid_due_date: date | None
    """The due date that was paid last."""
    paid_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a tenant's contacts are reminded, and by which session."""

    schedule_id: str
    session_id: str
    language: Language = Language.PT_BR
    time_of_day: time = time(9)
    time_zone: str = DEFAULT_TIME_ZONE
    days_before: tuple[int, ...] = (3, 1)
    on_due_date: bool = True
    days_after: tuple[int, ...] = (1, 3)
    welcome: bool = False
    thank: bool = True
    """Whether a payment is answered."""
    quiet_weekdays: tuple[Weekday, ...] = ()
    """Up to the due date a reminder comes on the day before them, and after it on the day after."""
    catch_up_hours: int = 24
    """How late a reminder may be, when nothing could be sent at its time."""
    enabled: bool = True
    since: datetime
    """Since when its times are these: what would have been told before isn't told any more."""
    created_at: datetime

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def catch_up(self) -> timedelta:
        return timedelta(hours=self.catch_up_hours)


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something that a contact is to be told, once for each of its kinds, due dates and offsets."""

    kind: ReminderKind
    due_date: date
    offset_days: int
    moment: datetime


def checked(details: Details) -> Details:
    """The details as they are kept; ``InvalidRequest`` with every field that is wrong."""
    errors: list[FieldError] = []
    name, note = contact_name(details.name), details.note.strip()
    phone = phone_number(details.phone)
    code = "".join((details.pix_code or "").splitlines()).strip() or None
    if name is None:
        errors.append(FieldError("name", f"must be 1 to {LONGEST_NAME} characters on one line"))
    if phone is None:
        message = "must be a phone number with country code, digits only, such as 5511988887777"
        errors.append(FieldError("phone", message))
    if not 1 <= details.amount_cents <= MOST_CENTS:
        errors.append(FieldError("amount_cents", f"must be from 1 to {MOST_CENTS}"))
    if not EARLIEST <= details.due_date <= LATEST:
        errors.append(FieldError("due_date", f"must be from {EARLIEST} to {LATEST}"))
    elif details.due_day is not None and anchored(details.due_date, details.due_day) != details.due_day:
        message = "must be the day of due_date, or a later one if that is the last of a month without it"
        errors.append(FieldError("due_day", message))
    if len(note) > LONGEST_NOTE or "\x00" in note:
        errors.append(FieldError("note", f"must be at most {LONGEST_NOTE} characters"))
    problem = None if code is None else "is too long" if len(code) > pix_code.LONGEST else pix_code.problem_of(code)
    if problem is not None:
        errors.append(FieldError("pix_code", problem))
    if errors:
        raise InvalidRequest(errors=errors)
    assert name is not None
    assert phone is not None
    day = details.due_date.day if details.due_day is None else details.due_day
    return replace(details, name=name, phone=phone, note=note, pix_code=code, due_day=day)


def contact_name(text: str) -> str | None:
    """A name as it is kept; None if it can't be one."""
    name = " ".join(text.split())
    has_control = any(c < " " or c == "\x7f" for c in name)
    return name if 0 < len(name) <= LONGEST_NAME and not has_control else None


def phone_number(text: str) -> str | None:
    """The digits of a phone number with country code, as people write it; None if it isn't one."""
    return phone_digits("".join(c for c in text if c not in " ()-.\u00a0"))


def checked_schedule(schedule: Schedule) -> Schedule:
    """The schedule as it is kept; ``InvalidRequest`` with every field that is wrong."""
    errors: list[FieldError] = []
    for field, days in (("days_before", schedule.days_before), ("days_after", schedule.days_after)):
        if len(days) > MOST_REMINDERS or not all(1 <= day <= MOST_DAYS for day in days):
            errors.append(FieldError(field, f"must be at most {MOST_REMINDERS} numbers from 1 to {MOST_DAYS}"))
    if set(schedule.quiet_weekdays) >= set(Weekday):
        errors.append(FieldError("quiet_weekdays", "must leave a day on which something may be sent"))
    try:
        ZoneInfo(schedule.time_zone)
    except (ValueError, LookupError, OSError):
        message = "must be the IANA name of a time zone, such as America/Sao_Paulo"
        errors.append(FieldError("time_zone", message))
    if errors:
        raise InvalidRequest(errors=errors)
    return replace(
        schedule,
        days_before=tuple(sorted(set(schedule.days_before), reverse=True)),
        days_after=tuple(sorted(set(schedule.days_after))),
        quiet_weekdays=tuple(day for day in Weekday if day in schedule.quiet_weekdays),
    )


def rescheduled(before: Schedule, after: Schedule, now: datetime) -> Schedule:
    """``after``, which was checked; with other times, nothing is told of what is past by them."""
    return after if _times(before) == _times(after) else replace(after, since=now)


def changed(contact: Contact, details: Details, now: datetime) -> Contact:
    """With other details, which were checked. A new due date opens one that was paid."""
    if details.due_date == contact.details.due_date:
        return replace(contact, details=details)
    return replace(contact, details=details, state=ContactState.OPEN, due_since=now)


def paid(contact: Contact, now: datetime) -> Contact:
    """What is due was paid: the due date moves on, on the same day of the month again where the month has it."""
    details = contact.details
    settled = replace(contact, paid_due_date=details.due_date, paid_at=now)
    period = _PERIODS.get(details.recurrence)
    if period is None:
        return replace(settled, state=ContactState.PAID)
    due_date = period.end(details.due_date, details.due_day or details.due_date.day)
    due_day = due_date.day if period.unit is PeriodUnit.DAY else details.due_day
    return replace(settled, details=replace(details, due_date=due_date, due_day=due_day), due_since=now)


def due_now(contact: Contact, schedule: Schedule, now: datetime) -> list[Occasion]:
    """Of what a contact should be told at this moment, whether it was already or not.

    Only the latest: what was missed before it is made up for by it. Nothing later than the schedule's bound.
    """
    if not schedule.enabled:
        return []
    found: list[Occasion] = []
    if schedule.welcome:
        found.append(Occasion(ReminderKind.WELCOME, contact.created_at.astimezone(UTC).date(), 0, contact.created_at))
    past = [occasion for occasion in _of_due_date(contact, schedule) if occasion.moment <= now]
    if past and past[-1].moment >= contact.due_since:
        found.append(past[-1])
    return [one for one in found if schedule.since <= one.moment and now < one.moment + schedule.catch_up]


def next_look(contact: Contact, schedules: Iterable[Schedule], now: datetime) -> datetime | None:
    """When there is something to tell next; None: never."""
    moments = (one.moment for schedule in schedules for one in _of_due_date(contact, schedule))
    return min((moment for moment in moments if moment > now), default=None)


def spoken_kind(occasion: Occasion, today: date) -> ReminderKind:
    """What it is about on the day on which it is told, which may be another day than it was meant for."""
    if occasion.kind in (ReminderKind.WELCOME, ReminderKind.PAID):
        return occasion.kind
    if today == occasion.due_date:
        return ReminderKind.DUE
    return ReminderKind.BEFORE_DUE if today < occasion.due_date else ReminderKind.OVERDUE


def deadline(occasion: Occasion, schedule: Schedule, now: datetime) -> datetime:
    """Until when it may still leave."""
    return max(occasion.moment + schedule.catch_up, now + _LEAST_TO_LEAVE)


def _of_due_date(contact: Contact, schedule: Schedule) -> list[Occasion]:
    """In the order of their moments, and at the same moment in that of what they are about."""
    if contact.state is ContactState.PAID or not schedule.enabled:
        return []
    offsets = [*(-days for days in schedule.days_before), *([0] if schedule.on_due_date else []), *schedule.days_after]
    due_date = contact.details.due_date
    found = [_occasion(due_date, offset, schedule) for offset in sorted(set(offsets))]
    return sorted(found, key=lambda one: (one.moment, one.offset_days))


def _occasion(due_date: date, offset: int, schedule: Schedule) -> Occasion:
    kind = ReminderKind.DUE if offset == 0 else ReminderKind.BEFORE_DUE if offset < 0 else ReminderKind.OVERDUE
    day, step = due_date + timedelta(days=offset), timedelta(days=1 if offset > 0 else -1)
    while _WEEKDAYS[day.weekday()] in schedule.quiet_weekdays:
        day += step
    # A time that a change of the clocks leaves out is the one an hour later; of one that there is twice, the first counts.
    moment = datetime.combine(day, schedule.time_of_day, schedule.zone).astimezone(UTC)
    return Occasion(kind, due_date, offset, moment)


def _times(schedule: Schedule) -> tuple[object, ...]:
    return (
        schedule.enabled,
        schedule.time_of_day,
        schedule.time_zone,
        schedule.days_before,
        schedule.on_due_date,
        schedule.days_after,
        schedule.welcome,
        schedule.quiet_weekdays,
    )
