from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from orchestrator.domain.billing_notice import NoticeKind
from orchestrator.domain.plan import TIME_ZONE, Period, PeriodUnit, Plan, anchored, begin_of, first_whole_day
from orchestrator.domain.subscription import (
    Subscription,
    SubscriptionState,
    Terms,
    extended,
    given_again,
    paid_period,
    taken_back,
    trial,
)

TERMS = Terms(trial_days=7, trial_sessions=1, grace_days=3)
MONTH = Period(PeriodUnit.MONTH, 1)
YEAR = Period(PeriodUnit.MONTH, 12)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=TIME_ZONE)


def plan(plan_id: str, price_cents: int = 3000, period: Period = MONTH) -> Plan:
    return Plan(
        plan_id=plan_id,
        name=plan_id,
        price_cents=price_cents,
        period=period,
        sessions=2,
        available=True,
        created_at=local("2026-01-01"),
    )


BASIC, LARGE = plan("basic"), plan("large", 9000)


def subscribed(until: str | None, plan_id: str | None = "basic", anchor_day: int | None = None) -> Subscription:
    active_until = None if until is None else local(until)
    return Subscription(tenant_id="acme", plan_id=plan_id, active_until=active_until, anchor_day=anchor_day)


@pytest.mark.parametrize(
    ("first", "period", "anchor_day", "end"),
    [
        ("2026-01-15", MONTH, 15, "2026-02-15"),
        ("2026-01-31", MONTH, 31, "2026-02-28"),
        ("2026-02-28", MONTH, 31, "2026-03-31"),
        ("2028-01-31", MONTH, 31, "2028-02-29"),
        ("2026-12-31", MONTH, 31, "2027-01-31"),
        ("2026-11-30", Period(PeriodUnit.MONTH, 3), 30, "2027-02-28"),
        ("2028-02-29", YEAR, 29, "2029-02-28"),
        ("2031-02-28", YEAR, 29, "2032-02-29"),
        ("2026-02-27", Period(PeriodUnit.DAY, 2), 27, "2026-03-01"),
        ("2028-02-27", Period(PeriodUnit.DAY, 2), 27, "2028-02-29"),
        ("2026-12-30", Period(PeriodUnit.DAY, 30), 1, "2027-01-29"),
    ],
)
def test_a_period_ends_where_people_expect_it(first: str, period: Period, anchor_day: int, end: str) -> None:
    assert period.end(date.fromisoformat(first), anchor_day) == date.fromisoformat(end)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-27T00:00:00", "2026-11-27"),
        ("2026-11-27T00:00:01", "2026-11-28"),
        ("2026-11-27T23:59:59", "2026-11-28"),
        ("2026-12-31T21:00:00", "2027-01-01"),
    ],
)
def test_what_is_left_of_a_day_is_given_away(moment: str, day: str) -> None:
    assert first_whole_day(local(moment)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("subscription", "now", "state"),
    [
        (subscribed(None), "2026-11-27", SubscriptionState.FREE),
        (subscribed("2026-12-01", plan_id=None), "2026-11-30T23:59:59", SubscriptionState.TRIAL),
        (subscribed("2026-12-01"), "2026-11-30T23:59:59", SubscriptionState.ACTIVE),
        (subscribed("2026-12-01"), "2026-12-01", SubscriptionState.GRACE),
        (subscribed("2026-12-01"), "2026-12-03T23:59:59", SubscriptionState.GRACE),
        (subscribed("2026-12-01"), "2026-12-04", SubscriptionState.PAUSED),
        (subscribed("2026-12-01", plan_id=None), "2027-12-04", SubscriptionState.PAUSED),
    ],
)
def test_the_state_of_a_subscription_at_a_moment(
    subscription: Subscription, now: str, state: SubscriptionState
) -> None:
    assert subscription.state(local(now), TERMS) is state


def test_without_grace_it_is_paused_when_it_ends() -> None:
    none = replace(TERMS, grace_days=0)
    assert subscribed("2026-12-01").state(local("2026-12-01"), none) is SubscriptionState.PAUSED


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        ("2026-11-26T23:59", None),
        ("2026-11-27T08:59", None),
        ("2026-11-27T09:00", NoticeKind.ENDS_IN_3_DAYS),
        ("2026-11-28T12:00", NoticeKind.ENDS_IN_3_DAYS),  # made up for, if nobody was there on the day
        ("2026-11-29T08:59", NoticeKind.ENDS_IN_3_DAYS),
        ("2026-11-29T09:00", NoticeKind.ENDS_TOMORROW),
        ("2026-11-30T00:30", NoticeKind.ENDS_TOMORROW),
        ("2026-11-30T09:00", NoticeKind.ENDS_TODAY),
        ("2026-11-30T23:59", NoticeKind.ENDS_TODAY),
        ("2026-12-01T00:00", None),
        ("2026-12-01T09:00", NoticeKind.GRACE),
        ("2026-12-03T23:59", NoticeKind.GRACE),
        ("2026-12-04T00:00", None),  # the pause says so itself
    ],
)
def test_which_reminder_is_due(now: str, kind: NoticeKind | None) -> None:
    assert subscribed("2026-12-01").reminder(local(now), TERMS) is kind
    assert subscribed(None).reminder(local(now), TERMS) is None


def test_each_next_look_is_when_something_changes() -> None:
    subscription, now = subscribed("2026-12-01"), local("2026-11-20")
    looks = [now]
    while (look := subscription.next_look(looks[-1], TERMS)) is not None:
        looks.append(look)
    assert looks[-1] == local("2026-12-04")
    assert subscription.state(looks[-1], TERMS) is SubscriptionState.PAUSED
    kinds = [subscription.reminder(look, TERMS) for look in looks]
    assert kinds == [None, *(kind for kind in NoticeKind if kind.startswith("ends") or kind == NoticeKind.GRACE), None]
    for before, after in pairwise(looks):
        moment = before
        while moment < after:  # nothing is due in between
            assert subscription.reminder(moment, TERMS) in (subscription.reminder(before, TERMS), None)
            moment += timedelta(hours=1)
    assert subscribed(None).next_look(now, TERMS) is None


def test_a_trial_ends_with_a_day() -> None:
    assert trial("acme", local("2026-11-27T15:00"), TERMS).active_until == local("2026-12-05")


@pytest.mark.parametrize(
    ("subscription", "paid_at", "begins_at", "ends_at"),
    [
        # In the trial, and in time: it goes on where that ends.
        (subscribed("2026-12-05", plan_id=None), "2026-12-01T10:00", "2026-12-05", "2027-01-05"),
        (subscribed("2026-12-05"), "2026-12-01T10:00", "2026-12-05", "2027-01-05"),
        (subscribed("2026-02-28", anchor_day=31), "2026-02-20T10:00", "2026-02-28", "2026-03-31"),
        # In the days of grace: those were used.
        (subscribed("2026-12-05"), "2026-12-07T23:59", "2026-12-05", "2027-01-05"),
        # Paused: from now on, and what is left of today is given.
        (subscribed("2026-12-05"), "2026-12-08T10:00", "2026-12-08T10:00", "2027-01-09"),
        (subscribed("2026-12-05", anchor_day=5), "2027-01-30T10:00", "2027-01-30T10:00", "2027-02-28"),
    ],
)
def test_what_a_payment_is_for(subscription: Subscription, paid_at: str, begins_at: str, ends_at: str) -> None:
    held = BASIC if subscription.plan_id else None
    period = paid_period(subscription, BASIC, held, local(paid_at), TERMS)
    assert (period.begins_at, period.ends_at) == (local(begins_at), local(ends_at))
    assert period.after.active_until == local(ends_at)
    assert period.after.plan_id == "basic"


def test_months_after_months_keep_their_day() -> None:
    subscription = subscribed("2027-01-31", anchor_day=31)
    ends = []
    for _ in range(14):
        assert subscription.active_until is not None
        subscription = paid_period(subscription, BASIC, BASIC, subscription.active_until, TERMS).after
        assert subscription.active_until is not None
        ends.append(subscription.active_until.date().isoformat())
    assert ends[:3] == ["2027-02-28", "2027-03-31", "2027-04-30"]
    assert ends[-2:] == ["2028-02-29", "2028-03-31"]


@pytest.mark.parametrize(
    ("first", "before", "day"),
    [
        ("2026-02-28", 31, 31),
        ("2026-02-28", 30, 30),
        ("2028-02-28", 31, 28),  # of a leap year: not the last day
        ("2026-03-31", 31, 31),
        ("2026-03-15", 31, 15),  # moved by the operator meanwhile
        ("2026-03-15", None, 15),
    ],
)
def test_a_day_that_a_month_lacks_is_kept_for_the_next(first: str, before: int | None, day: int) -> None:
    assert anchored(date.fromisoformat(first), before) == day


def test_what_is_left_of_another_plan_is_worth_what_was_paid_for_it() -> None:
    half_paid = subscribed("2026-12-31")
    period = paid_period(half_paid, LARGE, BASIC, local("2026-12-01"), TERMS)
    assert period.begins_at == local("2026-12-11")  # 30 days at a third of the price: 10
    assert period.ends_at == local("2027-01-11")
    assert period.after.plan_id == "large"
    back = paid_period(period.after, BASIC, LARGE, local("2026-12-21"), TERMS)
    assert back.begins_at == local("2027-02-22")  # 21 days at three times the price: 63


def test_what_never_ends_does_not_end_by_a_payment() -> None:
    assert paid_period(subscribed(None), BASIC, None, local("2026-12-01"), TERMS).after.active_until is None


def test_money_that_goes_back_takes_its_time_back() -> None:
    before = subscribed("2026-12-05")
    period = paid_period(before, BASIC, BASIC, local("2026-12-01"), TERMS)
    without = taken_back(period.after, period.begins_at, period.ends_at)
    assert without.active_until == before.active_until
    assert given_again(without, period.begins_at, period.ends_at).active_until == period.ends_at
    for endless in (taken_back, given_again):
        assert endless(subscribed(None), period.begins_at, period.ends_at) == subscribed(None)


def test_days_are_given_from_the_end_or_from_now() -> None:
    now = local("2026-12-08T10:00")
    assert extended(subscribed("2026-12-20"), 5, now).active_until == local("2026-12-25")
    assert extended(subscribed("2026-12-01"), 5, now).active_until == begin_of(date(2026, 12, 14))
    assert extended(subscribed(None), 5, now).active_until is None
