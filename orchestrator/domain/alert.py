"""Which troubles people are told of, and when: not the ones that pass by themselves, not each one singly, not all the time.

Whoever watches gives all troubles that there are at a moment, and gets what to tell and what to remember until the next.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.domain.errors import AlertNotFound


class AlertKind(StrEnum):
    LOST = "lost"
    """A linked session that should run is not connected."""
    QUARANTINED = "quarantined"
    CONFLICT = "conflict"
    PAUSED = "paused"
    """WhatsApp blocked the account for a time, or multi-device is off; or the settings of a session can't be opened."""
    CRASH_LOOP = "crash_loop"
    DATABASE = "database"
    JOURNAL = "journal"
    """Changes wait on the disk for the database."""
    REPAIRED = "repaired"
    """A verification found a difference."""
    PROCESS = "process"
    MEMORY = "memory"
    PAYMENT = "payment"


def existing_alert_kind(text: str) -> AlertKind:
    """A kind as it came in a request; ``AlertNotFound`` at once for what isn't one."""
    try:
        return AlertKind(text)
    except ValueError:
        raise AlertNotFound from None


#: Seconds that a trouble must last before it is told: deploys and reconnections come and go.
SETTLE_SECONDS: Mapping[AlertKind, float] = {
    AlertKind.LOST: 120.0,
    AlertKind.DATABASE: 10.0,
    AlertKind.JOURNAL: 15.0,
    AlertKind.MEMORY: 15.0,
}
#: Seconds without a trouble before it counts as over.
OVER_SECONDS = 5.0
#: Seconds between two alerts of one kind; what comes in between is told together.
INTERVAL_SECONDS = 30.0

#: What happens and is over, so that nobody waits for its end.
MOMENTARY = frozenset({AlertKind.REPAIRED, AlertKind.PAYMENT})


@dataclass(frozen=True, slots=True)
class Trouble:
    """``subject`` says what is in it, so that it is the same trouble as long as that doesn't change."""

    kind: AlertKind
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A trouble that there is, or was a moment ago."""

    trouble: Trouble
    since: float
    told: bool = False
    gone_since: float | None = None


@dataclass(frozen=True, slots=True)
class AlertBook:
    """What is to be remembered between two looks. Times are of any clock that all lookers share, in seconds."""

    standing: tuple[Standing, ...] = ()
    told_at: Mapping[AlertKind, float] | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """One message: troubles of a kind that began, or that are over."""

    kind: AlertKind
    over: bool
    troubles: tuple[Trouble, ...]


def look(book: AlertBook, troubles: Collection[Trouble], now: float) -> tuple[AlertBook, list[Alert]]:
    """What to tell at ``now``, and the book for the next look."""
    standing = _brought_up_to_date(book.standing, troubles, now)
    told_at, alerts = dict(book.told_at or {}), []
    for kind in AlertKind:
        if abs(now - told_at.get(kind, -INTERVAL_SECONDS)) < INTERVAL_SECONDS:
            continue
        begun = [s for s in standing if s.trouble.kind is kind and _due(s, now)]
        over = [s for s in standing if s.trouble.kind is kind and s.told and _is_over(s, now)]
        if begun:
            alerts.append(Alert(kind, over=False, troubles=tuple(s.trouble for s in begun)))
        if over and kind not in MOMENTARY:
            alerts.append(Alert(kind, over=True, troubles=tuple(s.trouble for s in over)))
        if begun or (over and kind not in MOMENTARY):
            told_at[kind] = now
        standing = [replace(s, told=True) if s in begun else s for s in standing if s not in over]
    kept = tuple(s for s in standing if s.told or not _is_over(s, now))
    return AlertBook(kept, told_at), alerts


def _brought_up_to_date(before: Collection[Standing], troubles: Collection[Trouble], now: float) -> list[Standing]:
    there = {(trouble.kind, trouble.subject): trouble for trouble in troubles}
    standing = []
    for known in before:
        trouble = there.pop((known.trouble.kind, known.trouble.subject), None)
        if trouble is not None:
            standing.append(replace(known, trouble=trouble, gone_since=None))
        else:
            standing.append(replace(known, gone_since=now if known.gone_since is None else known.gone_since))
    return standing + [Standing(trouble, now) for trouble in there.values()]


def _due(standing: Standing, now: float) -> bool:
    settle = SETTLE_SECONDS.get(standing.trouble.kind, 0.0)
    return not standing.told and standing.gone_since is None and now - standing.since >= settle


def _is_over(standing: Standing, now: float) -> bool:
    return standing.gone_since is not None and now - standing.gone_since >= OVER_SECONDS
