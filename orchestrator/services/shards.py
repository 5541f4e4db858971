"""The sidecar processes of this replica, and which of them each session runs in."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from orchestrator.domain.errors import SessionNotOpen
from orchestrator.sidecar.client import Listing, SidecarClient

#: A process that uses more of its JavaScript memory has no room for sessions that another has; one whose event loop is
#: busy for more of the time has half of the room.
_ROOM = 0.75


class Shard:
    """One sidecar process, as far as it is known. ``restart`` has supervisord start it anew."""

    def __init__(self, name: str, client: SidecarClient, restart: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.client = client
        self.restart = restart
        self.instance: str | None = None
        """The process that answered last; None before any did."""
        self.departed: str | None = None
        """The process that said goodbye."""
        self.reachable = False
        self.listing: Listing | None = None
        """What it said last."""
        self.replacements = 0
        """Processes after the first."""
        self.draining = False
        self.undrained: frozenset[int] = frozenset()
        self.answered_at = 0.0
        self.restarted_at = -1e9

    def __repr__(self) -> str:
        return f"<Shard {self.name}>"

    @property
    def usable(self) -> bool:
        """Whether sessions can be started in it now."""
        return self.reachable and self.instance is not None and self.instance != self.departed

    @property
    def heap_share(self) -> float:
        """Of its JavaScript memory, what it used when it was asked last."""
        heap = None if self.listing is None else self.listing.heap
        return 0.0 if heap is None else heap.used / max(1, heap.limit)

    @property
    def full(self) -> bool:
        """Whether it has little memory left: sessions differ in what they take."""
        return self.heap_share > _ROOM

    @property
    def busy(self) -> bool:
        """Whether its event loop had little time left when it was asked last, which a start of many takes for a moment."""
        process = None if self.listing is None else self.listing.process
        return process is not None and process.event_loop_utilization > _ROOM


class Shards:
    """All shards of this replica, and each session's home: the shard that runs it, or would again."""

    def __init__(self, shards: Sequence[Shard], clock: Callable[[], float] = time.monotonic) -> None:
        self._shards = tuple(shards)
        self._homes: dict[int, Shard] = {}
        for shard in self._shards:
            shard.answered_at = clock()

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def by_instance(self, instance: str) -> Shard | None:
        """The shard whose process this is; None for one that was never asked."""
        return next((shard for shard in self._shards if shard.instance == instance), None)

    def home_of(self, session_ref: int) -> Shard | None:
        return self._homes.get(session_ref)

    def settle(self, session_ref: int, shard: Shard) -> None:
        self._homes[session_ref] = shard

    def forget(self, session_ref: int) -> None:
        self._homes.pop(session_ref, None)

    def of(self, shard: Shard) -> set[int]:
        """The sessions that are at home there."""
        return {ref for ref, home in self._homes.items() if home is shard}

    def least_loaded(self) -> Shard | None:
        """The usable shard with the fewest sessions, each of a busy one counted twice; one that is full only if all are."""
        load = dict.fromkeys(self._shards, 1)
        for home in self._homes.values():
            load[home] += 1
        usable = [shard for shard in self._shards if shard.usable]
        return min(usable, key=lambda shard: (shard.full, load[shard] * (1 + shard.busy)), default=None)

    def client_of(self, session_ref: int) -> SidecarClient:
        """Who to ask about a session; ``SessionNotOpen`` if it runs nowhere here."""
        home = self._homes.get(session_ref)
        if home is None:
            raise SessionNotOpen
        return home.client

    def keep_only(self, session_refs: Collection[int]) -> None:
        """Forget the homes of all other sessions."""
        for ref in self._homes.keys() - session_refs:
            del self._homes[ref]

    def undrained(self) -> frozenset[int]:
        """Sessions whose last changes are only in the journal of their shard, whether it runs or not."""
        return frozenset().union(*(shard.undrained for shard in self._shards))
