"""What a load costs, read from outside: CPU and memory of processes, commits and WAL of PostgreSQL."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg

from tests.support.processes import descendants

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")

# Transaction ids are given to writes only, and are counted at once; pg_stat_database lags behind by up to a second.
_DATABASE: LiteralString = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"


@dataclass(frozen=True)
class Reading:
    at: float
    """Seconds of the monotonic clock."""
    cpu_seconds: Mapping[str, float]
    """User and system time by process name, children included."""
    resident_megabytes: Mapping[str, float]
    commits: int
    wal_bytes: int


class Meters:
    """Of one database and some processes, each named by its part."""

    def __init__(self, database_url: str, pids: Mapping[str, int]) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._pids = dict(pids)

    def read(self) -> Reading:
        row = self._connection.execute(_DATABASE).fetchone()
        assert row is not None
        cpu = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        memory = {name: resident_megabytes(pid) for name, pid in self._pids.items()}
        return Reading(time.monotonic(), cpu, memory, commits=row[0], wal_bytes=row[1])

    def close(self) -> None:
        self._connection.close()


def cpu_seconds(pid: int) -> float:
    """Of the process, its living descendants, and those of its children that ended."""
    total = 0
    for each in (pid, *descendants(pid)):
        fields = _stat(each)
        if fields:
            user, system, children_user, children_system = (int(field) for field in fields[11:15])
            total += user + system + (children_user + children_system if each == pid else 0)
    return total / TICKS_PER_SECOND


def resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def _stat(pid: int) -> list[str]:
    try:
        # The name in parentheses may hold anything; the fields after it don't.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
