"""Writes that were acknowledged are stored, whatever is killed: the sidecar's own modules against the real orchestrator."""

from pathlib import Path

import pytest

from tests.bench import kills, recording
from tests.bench.disks import FAST
from tests.support.longer import longer

WRITES = longer(200, kills.ACKNOWLEDGED)


@pytest.mark.timeout(240)
async def test_no_acknowledged_write_is_missing_after_a_kill_of_each_part() -> None:
    """Writes before each kill -9 of the sidecar, the orchestrator and PostgreSQL, and as many after the latter two."""
    workload: Path = recording.workload(messages=150)
    async for run in kills.measure(FAST, workload, 0, WRITES):
        assert run.figures["acknowledged"] >= WRITES, run
        assert run.figures["lost"] == 0, run
