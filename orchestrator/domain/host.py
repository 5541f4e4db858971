"""What a process tree has of its host, and what its processes do."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; what can be freed at once, such as cached files, doesn't count as used."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised process. ``state`` is supervisord's word for it: RUNNING, STARTING, BACKOFF, FATAL ..."""

    name: str
    state: str
    started_at: datetime | None
    detail: str
