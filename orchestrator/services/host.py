"""How this replica is: its processes, its memory, its journal, and what its connections have trouble with."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.host import Memory
from orchestrator.services.connections import Connections
from orchestrator.services.events import timestamp
from orchestrator.services.leases import LeaseBook
from orchestrator.sidecar.supervisord import SupervisordClient
from orchestrator.store.overview import OverviewStore

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_MEMORY = Path("/proc/meminfo")
#: For how long a repair is shown.
_REPAIRED = timedelta(minutes=5)
#: Sessions that are named; if more are concerned, their names help nobody.
_MOST_NAMED = 50


class Host:
    """``journal`` is the folder in which the sidecars keep what PostgreSQL hasn't."""

    def __init__(
        self,
        replica_id: str,
        store: OverviewStore,
        supervisord: SupervisordClient,
        leases: LeaseBook,
        connections: Connections,
        journal: Path,
        journal_limit: int,
        memory: Callable[[], Memory] | None = None,
    ) -> None:
        self._replica_id = replica_id
        self._store = store
        self._supervisord = supervisord
        self._leases = leases
        self._connections = connections
        self._journal = journal
        self._journal_limit = journal_limit
        self._memory = memory or read_memory

    async def tell(self) -> None:
        """Let everybody know how this replica is. Raises ``DatabaseUnavailable``."""
        await self._store.tell(self._replica_id, await self.status())

    async def status(self) -> dict[str, Any]:
        """In the form of ``wire.overview.ReplicaStatus``."""
        try:
            processes = await self._supervisord.processes()
        except Unavailable:
            processes = []
        memory, journal = await asyncio.to_thread(lambda: (self._memory(), _size(self._journal)))
        now = datetime.now(UTC)
        named = [
            (lease.tenant_id, lease.session_id, connection)
            for ref, connection in self._connections.all()
            if (lease := self._leases.held.get(ref)) is not None
        ]
        degraded = [(t, s) for t, s, c in named if c.degraded]
        repaired = [(t, s, c.repaired_at) for t, s, c in named if c.repaired_at and now - c.repaired_at < _REPAIRED]
        return {
            "memory": asdict(memory),
            "journal_bytes": journal,
            "journal_limit": self._journal_limit,
            "degraded": len(degraded),
            "degraded_sessions": [{"tenant_id": t, "session_id": s} for t, s in degraded[:_MOST_NAMED]],
            "repaired_sessions": [
                {"tenant_id": t, "session_id": s, "at": timestamp(at)} for t, s, at in repaired[:_MOST_NAMED]
            ],
            "processes": [
                {
                    "process": process.name,
                    "state": process.state,
                    "started_at": timestamp(process.started_at) if process.started_at else None,
                    "detail": process.detail,
                }
                for process in processes
            ],
        }


def read_memory(control_group: Path = _CONTROL_GROUP, meminfo: Path = _MEMORY) -> Memory:
    """Of the container, where it has a limit (cgroup v2); else of the machine."""
    limit, current = _text(control_group / "memory.max"), _text(control_group / "memory.current")
    if limit.isdigit() and current.isdigit():
        cached = next((n for name, n in _pairs(_text(control_group / "memory.stat")) if name == "inactive_file"), 0)
        return Memory(max(0, int(current) - cached), int(limit))
    machine = {name.rstrip(":"): number * 1024 for name, number in _pairs(_text(meminfo))}
    total = machine.get("MemTotal", 0)
    return Memory(total - machine.get("MemAvailable", total), total)


def _pairs(text: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in text.splitlines()]
    return [(words[0], int(words[1])) for words in lines if len(words) > 1 and words[1].isdigit()]


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:  # drained meanwhile
            continue
    return total


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
