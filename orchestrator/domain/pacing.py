"""Human-like pacing: when the next message of a session may leave."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo


class PacedMessages(StrEnum):
    """Which messages of the outbox keep to the pace. Direct sends never do."""

    NONE = "none"
    BULK = "bulk"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """No message leaves from ``begins`` to ``ends`` of each day, over midnight too."""

    begins: time
    ends: time

    def contain(self, moment: time) -> bool:
        if self.begins <= self.ends:
            return self.begins <= moment < self.ends
        return moment >= self.begins or moment < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """A new number sends ``first_day`` messages on the day of its linking, and ``growth`` times as many each further day."""

    first_day: int
    growth: float
    days: int

    def limit(self, day: int) -> int | None:
        """Messages of the day, 0 being the first; None once the number is warm."""
        return None if day >= self.days else int(self.first_day * self.growth**day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """``jitter`` is the part by which each pause may be longer or shorter: 0.5 is from half to one and a half."""

    applies_to: PacedMessages = PacedMessages.BULK
    messages_per_minute: float = 12.0
    jitter: float = 0.5
    time_zone: str = "UTC"
    """An IANA name: whose days and quiet hours they are."""
    quiet_hours: QuietHours | None = None
    warm_up: WarmUp | None = None


#: What a session has until its owner says otherwise.
DEFAULT: Final = Pacing()


@dataclass(frozen=True, slots=True)
class PacedSoFar:
    """When the last paced message left, and how many left on that day of the session's time zone."""

    last_at: datetime | None
    that_day: int


def next_send_at(
    pacing: Pacing, so_far: PacedSoFar, linked_at: datetime | None, now: datetime, random: float
) -> datetime:
    """The earliest moment for the next message; ``random`` is from 0 to 1, drawn once for each message."""
    zone = ZoneInfo(pacing.time_zone)
    pause = timedelta(seconds=60 / pacing.messages_per_minute) * (1 + pacing.jitter * (2 * random - 1))
    moment = now if so_far.last_at is None else max(now, so_far.last_at + pause)
    if _is_spent(pacing, so_far, linked_at, moment, zone):
        moment = _next_day(moment, zone)
    local = moment.astimezone(zone)
    quiet = pacing.quiet_hours
    if quiet is not None and quiet.contain(local.time()):
        ends = datetime.combine(local.date(), quiet.ends, zone)
        # Not all sessions in the same second, and no message at the very stroke of the hour.
        moment = (ends if ends > local else ends + timedelta(days=1)).astimezone(now.tzinfo) + pause * random
    return moment


def day_begins(moment: datetime, time_zone: str) -> datetime:
    """The beginning of the day that ``moment`` is in, there."""
    zone = ZoneInfo(time_zone)
    return datetime.combine(moment.astimezone(zone).date(), time(), zone)


def _is_spent(pacing: Pacing, so_far: PacedSoFar, linked_at: datetime | None, moment: datetime, zone: ZoneInfo) -> bool:
    """Whether the day of ``moment`` has had its messages."""
    if pacing.warm_up is None or linked_at is None:
        return False
    day = moment.astimezone(zone).date()
    limit = pacing.warm_up.limit((day - linked_at.astimezone(zone).date()).days)
    if limit is None or so_far.last_at is None or so_far.last_at.astimezone(zone).date() != day:
        return False
    return so_far.that_day >= limit


def _next_day(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    return datetime.combine(local.date() + timedelta(days=1), time(), zone).astimezone(moment.tzinfo)
