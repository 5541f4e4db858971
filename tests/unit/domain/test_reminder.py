"""When contacts are reminded: pure decisions over days, zones and clocks."""

import calendar
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.reminder import (
    Contact,
    ContactState,
    Details,
    Occasion,
    Recurrence,
    ReminderKind,
    Schedule,
    Weekday,
    changed,
    checked,
    checked_schedule,
    deadline,
    due_now,
    next_look,
    paid,
    rescheduled,
    spoken_kind,
)
from tests.support.pix import pix_code

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SAO_PAULO = ZoneInfo("America/Sao_Paulo")

DETAILS = Details(name="Maria", phone="5511988887777", amount_cents=15000, due_date=date(2026, 12, 10), due_day=10)


def contact(due_date: date = date(2026, 12, 10), *, since: datetime = LONG_AGO, **details: object) -> Contact:
    made = replace(DETAILS, due_date=due_date, **{"due_day": due_date.day, **details})  # type: ignore[arg-type]
    return Contact(
        contact_id="ct_1",
        details=made,
        state=ContactState.OPEN,
        due_since=since,
        paid_due_date=None,
        paid_at=None,
        created_at=since,
    )


def schedule(**changes: object) -> Schedule:
    made = Schedule(schedule_id="sch_1", session_id="loja-1", since=LONG_AGO, created_at=LONG_AGO)
    return replace(made, **changes)  # type: ignore[arg-type]


def at(text: str, zone: ZoneInfo = SAO_PAULO) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def due(who: Contact, plan: Schedule, moment: str) -> list[tuple[str, int]]:
    return [(one.kind, one.offset_days) for one in due_now(who, plan, at(moment))]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-07T08:59:59", []),
        ("2026-12-07T09:00:00", [("before_due", -3)]),
        ("2026-12-08T08:59:59", [("before_due", -3)]),
        ("2026-12-08T09:00:00", []),  # a day late is too late
        ("2026-12-09T09:00:00", [("before_due", -1)]),
        ("2026-12-10T09:00:00", [("due", 0)]),
        ("2026-12-11T08:59:00", [("due", 0)]),
        ("2026-12-11T09:00:00", [("overdue", 1)]),  # what was missed before is made up for by it
        ("2026-12-13T09:00:00", [("overdue", 3)]),
        ("2026-12-20T09:00:00", []),
    ],
)
def test_a_contact_is_told_the_latest_that_is_not_too_late(moment: str, expected: list[tuple[str, int]]) -> None:
    assert due(contact(), schedule(), moment) == expected


def test_how_late_is_too_late_is_the_schedule_s() -> None:
    assert due(contact(), schedule(catch_up_hours=1), "2026-12-07T09:59:00") == [("before_due", -3)]
    assert due(contact(), schedule(catch_up_hours=1), "2026-12-07T10:00:00") == []
    assert due(contact(), schedule(catch_up_hours=48), "2026-12-09T08:00:00") == [("before_due", -3)]


def test_what_was_past_when_it_was_entered_is_not_told() -> None:
    entered = at("2026-12-10T15:00:00")
    assert due(contact(since=entered), schedule(), "2026-12-10T15:00:05") == []
    assert due(contact(), schedule(since=entered), "2026-12-10T15:00:05") == []
    assert due(contact(since=entered), schedule(), "2026-12-11T09:00:00") == [("overdue", 1)]


def test_who_has_paid_is_told_nothing() -> None:
    assert due(replace(contact(), state=ContactState.PAID), schedule(), "2026-12-10T09:00:00") == []
    assert next_look(replace(contact(), state=ContactState.PAID), [schedule()], at("2026-12-01T09:00:00")) is None
    assert due(contact(), schedule(enabled=False), "2026-12-10T09:00:00") == []


def test_a_new_contact_is_welcomed_if_the_schedule_says_so() -> None:
    entered = at("2026-12-01T15:00:00")
    assert due(contact(since=entered), schedule(welcome=True), "2026-12-01T15:00:01") == [("welcome", 0)]
    assert due(contact(since=entered), schedule(), "2026-12-01T15:00:01") == []
    assert due(contact(since=entered), schedule(welcome=True), "2026-12-02T15:00:00") == []
    late = schedule(welcome=True, since=entered + timedelta(seconds=1))
    assert due(contact(since=entered), late, "2026-12-01T15:00:01") == []


def test_on_quiet_weekdays_nothing_comes_and_what_it_says_stays_true() -> None:
    weekend = (Weekday.SATURDAY, Weekday.SUNDAY)
    plan = schedule(quiet_weekdays=weekend, days_before=(1,), days_after=(1,))
    sunday = contact(date(2026, 12, 13))
    assert date(2026, 12, 13).weekday() == 6
    # Both that it is due tomorrow and that it is due today are for Friday: the latter counts, and says when.
    assert due(sunday, plan, "2026-12-11T09:00:00") == [("due", 0)]
    assert due(sunday, plan, "2026-12-12T09:00:00") == []
    assert due(sunday, plan, "2026-12-14T09:00:00") == [("overdue", 1)]
    occasion = due_now(sunday, plan, at("2026-12-11T09:00:00"))[0]
    assert spoken_kind(occasion, date(2026, 12, 11)) is ReminderKind.BEFORE_DUE


def test_over_midnight_it_speaks_of_the_day_on_which_it_is_told() -> None:
    plan = schedule(time_of_day=time(23, 50))
    occasion = due_now(contact(), plan, at("2026-12-10T23:50:00"))[0]
    assert spoken_kind(occasion, date(2026, 12, 10)) is ReminderKind.DUE
    late = due_now(contact(), plan, at("2026-12-11T00:10:00"))[0]
    assert late == occasion  # the same one: it is told once
    assert spoken_kind(late, date(2026, 12, 11)) is ReminderKind.OVERDUE
    assert spoken_kind(due_now(contact(), plan, at("2026-12-09T23:55:00"))[0], date(2026, 12, 9)) is (
        ReminderKind.BEFORE_DUE
    )


@pytest.mark.parametrize(
    ("zone", "day", "moment"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:30:00+00:00"),  # midnight to one was left out
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:30:00+00:00"),
        ("Asia/Kathmandu", date(2026, 11, 1), "2026-10-31T18:45:00+00:00"),
    ],
)
def test_the_time_of_day_is_the_zone_s_also_when_clocks_change(zone: str, day: date, moment: str) -> None:
    plan = schedule(time_zone=zone, time_of_day=time(0, 30), days_before=(), days_after=(), since=at("2000-01-01"))
    who = contact(day, since=at("2000-01-01"))
    assert next_look(who, [plan], at("2010-01-01")) == datetime.fromisoformat(moment)


def test_a_time_that_there_is_twice_counts_once() -> None:
    plan = schedule(time_zone="America/New_York", time_of_day=time(1, 30), days_before=(), days_after=())
    who, first = contact(date(2026, 11, 1)), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert next_look(who, [plan], first - timedelta(hours=1)) == first
    assert next_look(who, [plan], first) is None
    assert due_now(who, plan, first + timedelta(hours=1)) == due_now(who, plan, first)


def test_a_due_date_moves_on_to_the_ends_of_months_and_back() -> None:
    who, days = contact(date(2028, 1, 31), recurrence=Recurrence.MONTHLY), []
    for _ in range(4):
        who = paid(who, LONG_AGO)
        days.append(who.details.due_date.isoformat())
    assert days == ["2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"]
    leap, days = contact(date(2028, 2, 29), recurrence=Recurrence.YEARLY), []
    for _ in range(4):
        leap = paid(leap, LONG_AGO)
        days.append(leap.details.due_date.isoformat())
    assert days == ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]
    weekly = paid(contact(date(2026, 12, 28), recurrence=Recurrence.WEEKLY), LONG_AGO)
    assert (weekly.details.due_date, weekly.details.due_day) == (date(2027, 1, 4), 4)
    once = paid(contact(), LONG_AGO)
    assert (once.state, once.details.due_date, once.paid_due_date) == (
        ContactState.PAID,
        date(2026, 12, 10),
        date(2026, 12, 10),
    )


@given(some.dates(date(2000, 1, 1), date(2190, 12, 31)), some.integers(1, 60))
def test_months_keep_their_day_where_they_have_it(begin: date, months: int) -> None:
    who = contact(begin, recurrence=Recurrence.MONTHLY)
    for number in range(1, months + 1):
        who = paid(who, LONG_AGO)
        due_date = who.details.due_date
        assert (due_date.year * 12 + due_date.month) - (begin.year * 12 + begin.month) == number
        assert due_date.day == min(begin.day, calendar.monthrange(due_date.year, due_date.month)[1])
        assert checked(who.details) == who.details


@given(
    some.dates(date(2026, 1, 1), date(2027, 12, 31)),
    some.sets(some.integers(1, 60), max_size=4),
    some.booleans(),
    some.sets(some.integers(1, 60), max_size=4),
    some.sets(some.sampled_from(Weekday), max_size=6),
    some.sampled_from(["America/Sao_Paulo", "America/New_York", "Asia/Kathmandu", "UTC"]),
    some.times(),
)
def test_whoever_looks_when_it_is_told_to_misses_nothing_and_tells_nothing_twice(
    first: date,
    before: set[int],
    on: bool,
    after: set[int],
    quiet: set[Weekday],
    zone: str,
    time_of_day: time,
) -> None:
    plan = schedule(
        days_before=tuple(before),
        on_due_date=on,
        days_after=tuple(after),
        quiet_weekdays=tuple(quiet),
        time_zone=zone,
        time_of_day=time_of_day,
    )
    begin = datetime.combine(first, time(), UTC)
    who = contact(first + timedelta(days=70), since=begin)
    told: list[Occasion] = []
    now: datetime | None = begin
    while now is not None:
        told += due_now(who, plan, now)
        now = next_look(who, [plan], now)
    assert len(told) == len({(one.kind, one.offset_days) for one in told})
    offsets = [-days for days in before] + ([0] if on else []) + list(after)
    moments = {one.moment for one in told}
    # Of those that fall on the same moment the latest is told, and it stands for the others.
    assert {one.offset_days for one in told} <= set(offsets)
    assert (max(offsets) in {one.offset_days for one in told}) if offsets else not told
    assert len(moments) == len(told)
    for one in told:
        local = one.moment.astimezone(plan.zone).date()
        assert (local <= one.due_date) == (one.offset_days <= 0)
        assert list(Weekday)[local.weekday()] not in quiet


def test_what_is_late_still_has_an_hour_to_leave() -> None:
    occasion = due_now(contact(), schedule(), at("2026-12-10T09:00:00"))[0]
    assert deadline(occasion, schedule(), at("2026-12-10T09:00:00")) == at("2026-12-11T09:00:00")
    assert deadline(occasion, schedule(), at("2026-12-11T08:55:00")) == at("2026-12-11T09:55:00")


def test_another_due_date_opens_a_contact_and_other_details_do_not() -> None:
    settled, now = paid(contact(), LONG_AGO), at("2026-12-12T12:00:00")
    assert changed(settled, replace(settled.details, note="x"), now).state is ContactState.PAID
    opened = changed(settled, replace(settled.details, due_date=date(2027, 1, 10)), now)
    assert (opened.state, opened.due_since) == (ContactState.OPEN, now)


def test_other_times_begin_anew_and_other_words_do_not() -> None:
    now = at("2026-12-12T12:00:00")
    assert rescheduled(schedule(), schedule(time_of_day=time(10)), now).since == now
    assert rescheduled(schedule(), schedule(thank=False, catch_up_hours=2), now).since == LONG_AGO


def test_details_are_tidied_and_everything_wrong_is_named() -> None:
    given_details = replace(DETAILS, name="  Maria\n Silva ", phone="+55 (11) 98888-7777", pix_code=f" {pix_code()}\n")
    kept = checked(given_details)
    assert (kept.name, kept.phone, kept.pix_code) == ("Maria Silva", "5511988887777", pix_code())
    wrong = Details(
        name=" ",
        phone="0800",
        amount_cents=0,
        due_date=date(1999, 1, 1),
        note="x" * 501,
        pix_code="nothing",
    )
    with pytest.raises(InvalidRequest) as caught:
        checked(wrong)
    assert [one.field for one in caught.value.errors] == [
        "name",
        "phone",
        "amount_cents",
        "due_date",
        "note",
        "pix_code",
    ]
    for due_date, due_day in ((date(2026, 2, 27), 31), (date(2026, 2, 28), 27), (date(2026, 12, 10), 11)):
        with pytest.raises(InvalidRequest):
            checked(replace(DETAILS, due_date=due_date, due_day=due_day))
    assert checked(replace(DETAILS, due_date=date(2026, 2, 28), due_day=31)).due_day == 31


def test_a_schedule_is_put_in_order_and_everything_wrong_is_named() -> None:
    kept = checked_schedule(schedule(days_before=(1, 3, 3), days_after=(9, 2), quiet_weekdays=(Weekday.SUNDAY,) * 2))
    assert (kept.days_before, kept.days_after, kept.quiet_weekdays) == ((3, 1), (2, 9), (Weekday.SUNDAY,))
    wrong = schedule(days_before=(0,), days_after=(61,), quiet_weekdays=tuple(Weekday), time_zone="Mars/Olympus")
    with pytest.raises(InvalidRequest) as caught:
        checked_schedule(wrong)
    assert [one.field for one in caught.value.errors] == ["days_before", "days_after", "quiet_weekdays", "time_zone"]
