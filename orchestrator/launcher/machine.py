"""What this machine, or the container in it, has to offer."""

import os
from pathlib import Path
from typing import Final

from orchestrator.config import MOST_SHARDS

#: A sidecar's event loop fills one core; the orchestrator and PostgreSQL need about as much for what it writes.
_CORES_PER_SHARD: Final = 2
#: A sidecar takes 100 MB, and 500 open sessions in it 750 more.
_BYTES_PER_SHARD: Final = 1024**3

_CONTROL_GROUP: Final = Path("/sys/fs/cgroup")


def shards_for(cores: int, memory_bytes: int) -> int:
    """How many sidecar processes suit a machine."""
    return max(1, min(cores // _CORES_PER_SHARD, memory_bytes // _BYTES_PER_SHARD, MOST_SHARDS))


def machine(control_group: Path = _CONTROL_GROUP) -> tuple[int, int]:
    """Cores and bytes of memory that this process may use: the container's limits where it has some (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    quota, _, period = _read(control_group / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = max(1, min(cores, int(quota) // int(period)))
    limit = _read(control_group / "memory.max")
    if limit.isdigit():
        memory = min(memory, int(limit))
    return cores, memory


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
