"""A plan: what a tenant can buy, and how long one payment lasts."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from orchestrator.domain.errors import PlanNotFound

#: PIX is Brazil's: days begin and end as they do there.
TIME_ZONE = ZoneInfo("America/Sao_Paulo")

CURRENCY = "BRL"

PLAN_ID = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,64}")


class PeriodUnit(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    unit: PeriodUnit
    count: int

    def end(self, first: date, anchor_day: int) -> date:
        """The first day after a period that begins on ``first``; see ``anchored`` for the anchor."""
        if self.unit is PeriodUnit.DAY:
            return first + timedelta(days=self.count)
        year, month = divmod(first.year * 12 + first.month - 1 + self.count, 12)
        return date(year, month + 1, min(anchor_day, _days(year, month + 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    plan_id: str
    name: str
    price_cents: int
    period: Period
    sessions: int | None
    """None: as many as the tenant's own limit allows."""
    available: bool
    """Whether it can be bought."""
    created_at: datetime


def local_date(moment: datetime) -> date:
    return moment.astimezone(TIME_ZONE).date()


def begin_of(day: date) -> datetime:
    return datetime.combine(day, time(), TIME_ZONE)


def first_whole_day(moment: datetime) -> date:
    """The day that begins at this moment, or else the next one: what is left of a day is given away."""
    day = local_date(moment)
    return day if begin_of(day) == moment else day + timedelta(days=1)


def anchored(first: date, anchor_day: int | None) -> int:
    """The day of the month on which periods of months begin where the month has it: that of ``first``, unless it is the last
    of a month that hasn't the day of those before. So January 31 is followed by the last of February, and that by March 31.
    """
    kept = anchor_day is not None and first.day == min(anchor_day, _days(first.year, first.month))
    return anchor_day if kept and anchor_day is not None else first.day


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def existing_plan_id(text: str) -> str:
    """A plan id as it came in a request; ``PlanNotFound`` at once for what can't be one."""
    if not PLAN_ID.fullmatch(text):
        raise PlanNotFound
    return text
