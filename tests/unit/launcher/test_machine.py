from pathlib import Path

import pytest

from orchestrator.config import MOST_SHARDS
from orchestrator.launcher.machine import machine, shards_for

GIB = 1024**3


@pytest.mark.parametrize(
    ("cores", "memory", "shards"),
    [(1, GIB // 2, 1), (2, 8 * GIB, 1), (4, 8 * GIB, 2), (16, 4 * GIB, 4), (1000, 10_000 * GIB, MOST_SHARDS)],
)
def test_shards_suit_the_cores_and_the_memory(cores: int, memory: int, shards: int) -> None:
    assert shards_for(cores, memory) == shards


def test_the_limits_of_a_container_count(tmp_path: Path) -> None:
    here = machine(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine(tmp_path) == here
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text("536870912\n")
    assert machine(tmp_path) == (1, 536870912)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert machine(tmp_path)[0] == 1
