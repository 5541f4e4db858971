"""A subscription: what a tenant has paid for, what follows from that at a moment, and of what it is to be reminded.

It ends at the beginning of a day, so that a day that was paid for is paid for to its end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.billing_notice import NoticeKind
from orchestrator.domain.plan import Plan, anchored, begin_of, first_whole_day, local_date

#: Nobody is reminded at night: reminders of a day come from this hour on.
REMINDER_HOUR = 9

#: From how many days before the last one a reminder of this kind is due.
_REMINDERS = ((0, NoticeKind.ENDS_TODAY), (1, NoticeKind.ENDS_TOMORROW), (3, NoticeKind.ENDS_IN_3_DAYS))

#: What is shown of a session that is paused.
PAUSED_REASON = "The subscription has ended. The session stays linked; a payment brings it back without a QR code."


class SubscriptionState(StrEnum):
    FREE = "free"
    """It never ends."""
    TRIAL = "trial"
    ACTIVE = "active"
    GRACE = "grace"
    """It has ended; the sessions go on for some days."""
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator grants without a payment."""

    trial_days: int
    trial_sessions: int
    grace_days: int

    @property
    def grace(self) -> timedelta:
        return timedelta(days=self.grace_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    tenant_id: str
    plan_id: str | None
    """None: the trial."""
    active_until: datetime | None
    """None: it never ends."""
    anchor_day: int | None = None
    """On which day of the month its last period began, or would have; None before the first payment."""

    def state(self, now: datetime, terms: Terms) -> SubscriptionState:
        if self.active_until is None:
            return SubscriptionState.FREE
        if now < self.active_until:
            return SubscriptionState.TRIAL if self.plan_id is None else SubscriptionState.ACTIVE
        return SubscriptionState.GRACE if now < self.active_until + terms.grace else SubscriptionState.PAUSED

    def reminder(self, now: datetime, terms: Terms) -> NoticeKind | None:
        """Of what the tenant should have been told by now; one that was missed is made up for by the next one."""
        if self.active_until is None:
            return None
        match self.state(now, terms):
            case SubscriptionState.PAUSED:
                return None  # the pause says so itself
            case SubscriptionState.GRACE:
                return NoticeKind.GRACE if _awake(now) >= self.active_until else None
        last_day = local_date(self.active_until - timedelta(microseconds=1))
        left = (last_day - local_date(_awake(now))).days
        return next((kind for days, kind in _REMINDERS if left <= days), None)

    def next_look(self, now: datetime, terms: Terms) -> datetime | None:
        """When something is due next: a reminder or the pause; None if nothing is."""
        if self.active_until is None:
            return None
        last_day = begin_of(local_date(self.active_until - timedelta(microseconds=1)))
        waking = timedelta(hours=REMINDER_HOUR)
        moments = [last_day - timedelta(days=days) + waking for days, _ in _REMINDERS]
        moments += [self.active_until + waking, self.active_until + terms.grace]
        return min((moment for moment in moments if moment > now), default=None)


@dataclass(frozen=True, slots=True)
class PaidPeriod:
    """What a payment is for, and the subscription after it."""

    begins_at: datetime
    ends_at: datetime
    after: Subscription


def trial(tenant_id: str, now: datetime, terms: Terms) -> Subscription:
    """The days of the trial, and what is left of today."""
    ends_at = begin_of(first_whole_day(now) + timedelta(days=terms.trial_days))
    return Subscription(tenant_id=tenant_id, plan_id=None, active_until=ends_at)


def extended(subscription: Subscription, days: int, now: datetime) -> Subscription:
    """As many days more from its end, or from now if that is past."""
    if subscription.active_until is None:
        return subscription
    begins_at = max(now, subscription.active_until)
    return replace(
        subscription, active_until=begin_of(first_whole_day(begins_at) + timedelta(days=days)), anchor_day=None
    )


def paid_period(
    subscription: Subscription, bought: Plan, held: Plan | None, paid_at: datetime, terms: Terms
) -> PaidPeriod:
    """A payment for ``bought``, by whoever has ``held``.

    It goes on where the last period ended, days of grace included. It begins anew after a pause, and where the plan is
    another one: then what is left of the old one is worth as much time of the new one as was paid for it.
    """
    until = subscription.active_until
    begins_at = paid_at
    if until is not None and paid_at < until + terms.grace:
        begins_at = until
        if held is not None and held.plan_id != bought.plan_id and paid_at < until:
            begins_at = paid_at + (until - paid_at) * _day_price(held) / _day_price(bought)
    first = first_whole_day(begins_at)
    anchor_day = anchored(first, subscription.anchor_day)
    ends_at = begin_of(bought.period.end(first, anchor_day))
    after = replace(
        subscription,
        plan_id=bought.plan_id,
        active_until=None if until is None else ends_at,
        anchor_day=anchor_day,
    )
    return PaidPeriod(begins_at, ends_at, after)


def taken_back(subscription: Subscription, begins_at: datetime, ends_at: datetime) -> Subscription:
    """Without a period whose money went back."""
    if subscription.active_until is None:
        return subscription
    return replace(subscription, active_until=subscription.active_until - (ends_at - begins_at))


def given_again(subscription: Subscription, begins_at: datetime, ends_at: datetime) -> Subscription:
    """With a period whose money went back and came again."""
    if subscription.active_until is None:
        return subscription
    return replace(subscription, active_until=subscription.active_until + (ends_at - begins_at))


def _awake(now: datetime) -> datetime:
    """Days of reminders begin when people are awake."""
    return now - timedelta(hours=REMINDER_HOUR)


def _day_price(plan: Plan) -> float:
    """In cents; what a month has more or less than another makes no difference to people."""
    days_of_month = 30
    first = plan.period
    days = first.count if first.unit == "day" else first.count * days_of_month
    return plan.price_cents / days
