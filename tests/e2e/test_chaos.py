"""Faults at random, twenty of them: the short version of `make chaos`. The seed is fixed, so that a failure can be repeated."""

import pytest

from tests.chaos.run import Verdict, run

SEED = 20261126
FAULTS = 20
#: Fewer than `make chaos` has: with twenty, linking them takes longer than the faults.
SESSIONS = 6


@pytest.mark.timeout(600)
async def test_twenty_faults_lose_nothing_reuse_nothing_and_show_no_qr() -> None:
    outcome = await run(SEED, FAULTS, SESSIONS, print)
    print(outcome)
    assert outcome.verdict == Verdict(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert outcome.accepted > 0
    assert outcome.incoming > 0
