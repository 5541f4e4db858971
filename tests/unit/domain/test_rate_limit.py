import pytest

from orchestrator.domain.rate_limit import Bucket, Rate, full, take

RATE = Rate(60)


def test_all_of_a_minute_may_come_at_once_and_then_one_a_second() -> None:
    bucket = full(RATE, 0.0)
    for number in range(60):
        bucket, taken = take(bucket, RATE, 0.0)
        assert (taken.allowed, taken.remaining) == (True, 59 - number)
    bucket, taken = take(bucket, RATE, 0.0)
    assert not taken.allowed
    assert taken.retry_after_seconds == pytest.approx(1.0)
    bucket, taken = take(bucket, RATE, 1.0)
    assert taken.allowed
    assert not take(bucket, RATE, 1.5)[1].allowed


def test_a_bucket_never_holds_more_than_a_minute_s_worth() -> None:
    _, taken = take(full(RATE, 0.0), RATE, 1_000_000.0)
    assert (taken.limit, taken.remaining) == (60, 59)


def test_it_tells_when_it_is_full_again() -> None:
    bucket, taken = take(full(RATE, 0.0), RATE, 0.0, 30)
    assert taken.reset_seconds == 30
    assert take(bucket, RATE, 30.0)[1].remaining == 59


def test_more_than_it_holds_is_allowed_when_it_is_full_and_paid_for_afterwards() -> None:
    bucket, taken = take(full(RATE, 0.0), RATE, 0.0, 180)
    assert (taken.allowed, taken.remaining) == (True, 0)
    bucket, taken = take(bucket, RATE, 60.0)
    assert not taken.allowed
    assert take(bucket, RATE, 122.0)[1].allowed


def test_a_refusal_takes_nothing() -> None:
    bucket, taken = take(Bucket(10.0, 0.0), RATE, 0.0, 20)
    assert not taken.allowed
    assert take(bucket, RATE, 0.0, 10)[1].allowed


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket, _ = take(full(RATE, 100.0), RATE, 100.0, 60)
    assert not take(bucket, RATE, 50.0)[1].allowed


def test_a_rate_of_nothing_lets_nothing_through() -> None:
    rate = Rate(0)
    assert not take(full(rate, 0.0), rate, 1000.0)[1].allowed
