"""When the next message may leave."""

from datetime import UTC, datetime, time, timedelta

import pytest

from orchestrator.domain.pacing import PacedSoFar, Pacing, QuietHours, WarmUp, day_begins, next_send_at

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
NOTHING = PacedSoFar(None, 0)


def next_at(pacing: Pacing, so_far: PacedSoFar = NOTHING, now: datetime = NOON, random: float = 0.5) -> datetime:
    return next_send_at(pacing, so_far, NOON - timedelta(days=100), now, random)


def test_the_first_message_leaves_at_once() -> None:
    assert next_at(Pacing(messages_per_minute=6)) == NOON


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 5), (0.5, 10), (1.0, 15)])
def test_the_pause_is_drawn_around_the_rate(random: float, seconds: float) -> None:
    so_far = PacedSoFar(NOON, 1)
    assert next_at(Pacing(messages_per_minute=6, jitter=0.5), so_far, random=random) == NOON + timedelta(
        seconds=seconds
    )


def test_a_pause_that_is_over_costs_nothing() -> None:
    assert next_at(Pacing(messages_per_minute=6), PacedSoFar(NOON - timedelta(hours=1), 9)) == NOON


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-27T00:59:00+00:00", "2026-11-27T00:59:00+00:00"),  # 21:59 in São Paulo
        ("2026-11-27T01:00:00+00:00", "2026-11-27T11:00:00+00:00"),  # 22:00 -> 08:00
        ("2026-11-27T05:00:00+00:00", "2026-11-27T11:00:00+00:00"),  # 02:00 -> 08:00
        ("2026-11-27T11:00:00+00:00", "2026-11-27T11:00:00+00:00"),  # 08:00
    ],
)
def test_quiet_hours_go_over_midnight_in_their_own_time_zone(now: str, expected: str) -> None:
    quiet = QuietHours(begins=time(22), ends=time(8))
    pacing = Pacing(quiet_hours=quiet, time_zone="America/Sao_Paulo", jitter=0)
    assert next_at(pacing, now=datetime.fromisoformat(now), random=0.0) == datetime.fromisoformat(expected)


def test_quiet_hours_end_by_the_clock_on_the_wall_when_summer_time_begins() -> None:
    # On 29 March 2026 Berlin goes from 02:00 to 03:00.
    pacing = Pacing(quiet_hours=QuietHours(begins=time(1), ends=time(6)), time_zone="Europe/Berlin", jitter=0)
    now = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # 01:30
    assert next_at(pacing, now=now, random=0.0) == datetime(2026, 3, 29, 4, 0, tzinfo=UTC)


def test_quiet_hours_within_a_day() -> None:
    pacing = Pacing(quiet_hours=QuietHours(begins=time(12), ends=time(13, 30)), jitter=0)
    assert next_at(pacing, random=0.0) == NOON + timedelta(minutes=90)


def test_a_new_number_warms_up() -> None:
    pacing = Pacing(messages_per_minute=60, jitter=0, warm_up=WarmUp(first_day=20, growth=1.5, days=3))
    linked = NOON - timedelta(hours=3)

    def at(sent: int, now: datetime) -> datetime:
        return next_send_at(pacing, PacedSoFar(now - timedelta(minutes=1), sent), linked, now, 0.5)

    assert at(19, NOON) == NOON
    assert at(20, NOON) == datetime(2026, 11, 28, tzinfo=UTC)
    assert at(29, NOON + timedelta(days=1)) == NOON + timedelta(days=1)
    assert at(30, NOON + timedelta(days=1)) == datetime(2026, 11, 29, tzinfo=UTC)
    assert at(44, NOON + timedelta(days=2)) == NOON + timedelta(days=2)
    assert at(45, NOON + timedelta(days=2)) == datetime(2026, 11, 30, tzinfo=UTC)
    assert at(10_000, NOON + timedelta(days=3)) == NOON + timedelta(days=3)
    assert next_send_at(pacing, PacedSoFar(NOON - timedelta(days=1), 500), linked, NOON, 0.5) == NOON


def test_a_day_begins_where_the_number_is() -> None:
    assert day_begins(NOON, "Asia/Tokyo").astimezone(UTC) == datetime(2026, 11, 26, 15, tzinfo=UTC)
