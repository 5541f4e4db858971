"""Faults at random, twenty of them: the short version of `make chaos`. The seed is fixed, so that a failure can be repeated."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.processes import running
from tests.support.tree import PROJECT

#: Its twenty are of every kind, with a cut, a half-open and a slow connection to PostgreSQL among them.
SEED = 20283523
FAULTS = 20
#: Fewer than `make chaos` has: with twenty, linking them takes longer than the faults.
SESSIONS = 6


@pytest.mark.timeout(600)
def test_twenty_faults_lose_nothing_reuse_nothing_and_show_no_qr(tmp_path: Path) -> None:
    """In a process of its own: what faults do to connections is nothing that the next test should be warned of."""
    outcome = tmp_path / "outcome.json"
    options = {
        "--faults": FAULTS,
        "--sessions": SESSIONS,
        "--seed": SEED,
        "--deploys": 0,
        "--compare": 0,
        "--others": 0,
        "--json": outcome,
    }
    command = [sys.executable, "-m", "tests.chaos", *(str(part) for option in options.items() for part in option)]
    with running(command, tmp_path / "log", env=dict(os.environ), cwd=PROJECT) as chaos:
        code = chaos.wait(580)
        print(chaos.output)
    assert outcome.exists(), f"ended with code {code}"
    told = json.loads(outcome.read_text())
    assert {name: number for name, number in told["verdict"].items() if number} == {}
    assert code == 0
    assert told["accepted"] > 0
    assert told["incoming"] > 0
