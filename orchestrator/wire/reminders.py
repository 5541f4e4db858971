"""Reminders: contacts that pay the tenant, what they are told, and when. Amounts are in cents of reais."""

from datetime import date
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from orchestrator.domain.language import Language
from orchestrator.domain.reminder import (
    LONGEST_NAME,
    LONGEST_NOTE,
    MOST_CENTS,
    MOST_DAYS,
    MOST_REMINDERS,
    ContactState,
    Recurrence,
    ReminderKind,
    Weekday,
)
from orchestrator.domain.reminder_text import LONGEST_TEMPLATE, VARIABLES
from orchestrator.wire.outbox import TimeOfDay
from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp, text

ContactId: TypeAlias = Annotated[str, text("Its id.", example="ct_5f0c1d2e3a4b5c6d7e8f9a0b")]
ScheduleId: TypeAlias = Annotated[str, text("Its id.", example="sch_5f0c1d2e3a4b5c6d7e8f9a0b")]
TemplateId: TypeAlias = Annotated[str, text("Its kind and its language.", example="before_due.pt-BR")]

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, examples=["Maria Silva"])]
_Phone: TypeAlias = Annotated[
    str,
    Meta(max_length=40, description="With country code. No two contacts have the same.", examples=["5511988887777"]),
]
_Cents: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_CENTS, description="In cents.", examples=[15000])]
_DueDay: TypeAlias = Annotated[
    int,
    Meta(
        ge=1,
        le=31,
        description="On which day of the month it is due where the month has it: 31 is followed by the last of February, "
        "and that by March 31. That of due_date unless it is given.",
    ),
]
_Note: TypeAlias = Annotated[str, Meta(max_length=LONGEST_NOTE, description="For the variable ``note``.")]
_PixCode: TypeAlias = (
    Annotated[
        str, Meta(max_length=1000, description="Pix Copia e Cola of the tenant's own; its checksum must be right.")
    ]
    | None
)


class CreateReminderContact(Request, frozen=True, kw_only=True):
    name: _Name
    phone: _Phone
    amount_cents: _Cents
    due_date: date
    due_day: _DueDay | None = None
    recurrence: Annotated[Recurrence, Meta(description="How the due date moves on when it is paid.")] = Recurrence.NONE
    note: _Note = ""
    pix_code: _PixCode = None


class ChangeReminderContact(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is. Another due date opens a contact that has paid."""

    name: _Name | UnsetType = UNSET
    phone: _Phone | UnsetType = UNSET
    amount_cents: _Cents | UnsetType = UNSET
    due_date: date | UnsetType = UNSET
    due_day: _DueDay | UnsetType = UNSET
    recurrence: Recurrence | UnsetType = UNSET
    note: _Note | UnsetType = UNSET
    pix_code: _PixCode | UnsetType = UNSET


class ReminderContact(Answer, frozen=True, kw_only=True):
    """Somebody who pays the tenant."""

    contact_id: ContactId
    name: str
    phone: str
    amount_cents: int
    due_date: date
    due_day: int
    recurrence: Recurrence
    note: str
    pix_code: str | None
    state: Annotated[ContactState, Meta(description="paid: nothing more is due.")]
    paid_due_date: Annotated[date | None, Meta(description="The due date that was paid last.")]
    paid_at: Timestamp | None
    created_at: Timestamp


class ListReminderContacts(Page, frozen=True):
    search: Annotated[str, Meta(max_length=100, description="A part of the name or the phone number.")] = ""
    state: ContactState | None = None


class ReminderContacts(Answer, frozen=True, kw_only=True):
    """By due date and name."""

    contacts: list[ReminderContact]
    next_cursor: NextCursor


class PayContact(Request, frozen=True, kw_only=True):
    due_date: Annotated[
        date | None,
        Meta(
            description="Which one was paid; so that it counts once, however often it is said. The present one if not given."
        ),
    ] = None


class ImportContacts(Request, frozen=True, kw_only=True):
    dry_run: Annotated[bool, Meta(description="Only say what it would do.")] = False


class ImportedContacts(Answer, frozen=True, kw_only=True):
    created: int
    updated: int
    unchanged: int
    dry_run: bool


class Reminder(Answer, frozen=True, kw_only=True):
    """What a contact was told."""

    reminder_id: int
    kind: ReminderKind
    due_date: Annotated[
        date, Meta(description="What it is about; of a welcome, the day on which the contact was made.")
    ]
    offset_days: Annotated[int, Meta(description="Days after the due date for which it was meant; below zero: before.")]
    session_id: SessionId
    message_id: Annotated[str | None, Meta(description="In the outbox of the session; null: not yet.")]
    error: Annotated[
        str | None,
        Meta(description="Why it wasn't given to the outbox; withdrawn: it was paid, or is due another day."),
    ]
    decided_at: Timestamp


class ContactReminders(Answer, frozen=True, kw_only=True):
    """Newest first."""

    reminders: list[Reminder]
    next_cursor: NextCursor


class ReminderTemplate(Answer, frozen=True, kw_only=True):
    """What contacts are told on an occasion, in a language."""

    template_id: TemplateId
    kind: ReminderKind
    language: Language
    text: str
    own: Annotated[bool, Meta(description="Whether the tenant has written it; if not, it is the default.")]


class ListReminderTemplates(Page, frozen=True):
    search: Annotated[str, Meta(max_length=100, description="A part of the text or the id.")] = ""


class ReminderTemplates(Answer, frozen=True, kw_only=True):
    templates: list[ReminderTemplate]
    next_cursor: NextCursor


class SetReminderTemplate(Request, frozen=True, kw_only=True):
    text: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_TEMPLATE,
            description=f"With variables such as {{{{name}}}}: {', '.join(VARIABLES)}. A line whose variables are all empty is "
            "left out.",
        ),
    ]


_DaysBefore: TypeAlias = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=MOST_DAYS)], ...],
    Meta(max_length=MOST_REMINDERS, description="Days before the due date.", examples=[[3, 1]]),
]
_DaysAfter: TypeAlias = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=MOST_DAYS)], ...],
    Meta(max_length=MOST_REMINDERS, description="Days after the due date, if it wasn't paid.", examples=[[1, 3]]),
]
_TimeZone: TypeAlias = Annotated[str, Meta(max_length=64, description="An IANA name.", examples=["America/Sao_Paulo"])]
_QuietWeekdays: TypeAlias = Annotated[
    tuple[Weekday, ...],
    Meta(
        max_length=6,
        description="Up to the due date a reminder comes on the day before these, and after it on the day after.",
        examples=[["saturday", "sunday"]],
    ),
]
_CatchUp: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=168, description="How many hours late a reminder may be when nothing could be sent at its time."),
]
_Welcome: TypeAlias = Annotated[bool, Meta(description="Whether new contacts are greeted.")]
_Thank: TypeAlias = Annotated[bool, Meta(description="Whether a payment is answered.")]


class CreateReminderSchedule(Request, frozen=True, kw_only=True):
    session_id: SessionId
    language: Language = Language.PT_BR
    time_of_day: TimeOfDay = "09:00"
    time_zone: _TimeZone = "America/Sao_Paulo"
    days_before: _DaysBefore = (3, 1)
    on_due_date: bool = True
    days_after: _DaysAfter = (1, 3)
    welcome: _Welcome = False
    thank: _Thank = True
    quiet_weekdays: _QuietWeekdays = ()
    catch_up_hours: _CatchUp = 24
    enabled: bool = True


class ChangeReminderSchedule(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is. What is past by its new times isn't told."""

    session_id: SessionId | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    time_of_day: TimeOfDay | UnsetType = UNSET
    time_zone: _TimeZone | UnsetType = UNSET
    days_before: _DaysBefore | UnsetType = UNSET
    on_due_date: bool | UnsetType = UNSET
    days_after: _DaysAfter | UnsetType = UNSET
    welcome: _Welcome | UnsetType = UNSET
    thank: _Thank | UnsetType = UNSET
    quiet_weekdays: _QuietWeekdays | UnsetType = UNSET
    catch_up_hours: _CatchUp | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ReminderSchedule(Answer, frozen=True, kw_only=True):
    """When the tenant's contacts are reminded, and by which session."""

    schedule_id: ScheduleId
    session_id: SessionId
    language: Language
    time_of_day: TimeOfDay
    time_zone: str
    days_before: tuple[int, ...]
    on_due_date: bool
    days_after: tuple[int, ...]
    welcome: _Welcome
    thank: _Thank
    quiet_weekdays: tuple[Weekday, ...]
    catch_up_hours: int
    enabled: bool
    created_at: Timestamp


class ListReminderSchedules(Page, frozen=True):
    search: Annotated[str, Meta(max_length=64, description="The session that reminds.")] = ""


class ReminderSchedules(Answer, frozen=True, kw_only=True):
    schedules: list[ReminderSchedule]
    next_cursor: NextCursor
