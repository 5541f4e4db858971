import pytest

from orchestrator.domain.crash_suspects import TRIAL_SECONDS, WINDOW_SECONDS, CrashSuspects


def test_a_session_whose_work_ends_the_process_twice_is_isolated_and_no_other_waits() -> None:
    suspects = CrashSuspects()
    assert suspects.crashed({1, 2, 3}, 0, culprit=2) is None
    assert suspects.held_back == set()
    assert suspects.crashed({1, 2, 3}, 10, culprit=2) == 2
    assert suspects.held_back == suspects.isolated == {2}


def test_two_failures_that_lie_far_apart_are_no_loop() -> None:
    suspects = CrashSuspects()
    assert suspects.crashed({1, 2}, 0, culprit=2) is None
    assert suspects.crashed({1, 2}, WINDOW_SECONDS + 1, culprit=2) is None
    assert suspects.crashed({1, 2}, 2 * WINDOW_SECONDS + 2) is None
    assert suspects.crashed({1, 2}, 3 * WINDOW_SECONDS + 3) is None
    assert suspects.held_back == set()


@pytest.mark.parametrize("culprit", [0, 41, 99])
def test_one_among_a_hundred_is_found_by_starting_ever_fewer(culprit: int) -> None:
    """As the supervision does it: what isn't held back runs, and the process crashes whenever the culprit does."""
    suspects, everybody, now, crashes = CrashSuspects(), set(range(100)), 0.0, 0
    while not suspects.isolated:
        running = everybody - suspects.held_back
        if culprit in running:
            suspects.crashed(running, now)
            crashes += 1
            now += 3
        else:
            now += TRIAL_SECONDS
            assert suspects.passed(now)
        assert now < 1000
    assert suspects.isolated == {culprit}
    assert suspects.held_back == {culprit}
    assert crashes <= 10


def test_when_nobody_crashes_again_everybody_runs_again() -> None:
    suspects, now = CrashSuspects(), 0.0
    for _ in range(2):
        suspects.crashed({1, 2, 3, 4}, now)
    assert suspects.held_back == {3, 4}
    while suspects.held_back:
        now += TRIAL_SECONDS
        assert suspects.passed(now)
    assert now == TRIAL_SECONDS
    assert suspects.isolated == set()


def test_who_is_started_by_hand_is_forgiven() -> None:
    suspects = CrashSuspects()
    for now in (0, 1):
        suspects.crashed({1}, now, culprit=1)
    suspects.forgive(1)
    assert suspects.held_back == set()
    assert suspects.crashed({1}, 2, culprit=1) is None
