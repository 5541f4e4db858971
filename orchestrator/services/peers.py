"""Events of other replicas for the listeners of this one: heard from each replica directly, only for tenants that listen here.

PostgreSQL's NOTIFY would bring them to everybody, takes a lock over the whole database at each commit, and 8 kB at most.
What is lost with a connection comes from the store: incoming messages wait there
until somebody was given them.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from orchestrator.domain.errors import ReplicaUnreachable
from orchestrator.domain.replica import Replica
from orchestrator.peer.client import PeerClient
from orchestrator.services.events import EventBus
from orchestrator.services.replicas import Replicas

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class Peers:
    def __init__(self, replicas: Replicas, events: EventBus, client: PeerClient) -> None:
        self._replicas = replicas
        self._events = events
        self._client = client
        self._listening: dict[str, asyncio.Task[None]] = {}

    async def reconcile(self) -> None:
        """Listen to every replica that can be reached, as long as anybody listens here."""
        wanted = self._replicas.others if self._events.tenants_listening else {}
        for replica_id in self._listening.keys() - wanted.keys():
            self._listening.pop(replica_id).cancel()
        for replica_id, replica in wanted.items():
            task = self._listening.get(replica_id)
            if replica.address is not None and (task is None or task.done()):
                self._listening[replica_id] = asyncio.create_task(self._listen(replica))

    async def close(self) -> None:
        for task in self._listening.values():
            task.cancel()
        await asyncio.gather(*self._listening.values(), return_exceptions=True)

    async def _listen(self, replica: Replica) -> None:
        try:
            async with aclosing(self._client.events(replica, self._interests())) as told:
                async for event in told:
                    self._events.relay(replace(event, relayed=True))
        except ReplicaUnreachable as error:
            log.info("replica not heard", replica=replica.replica_id, error=str(error.__cause__ or error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _interests(self) -> AsyncGenerator[frozenset[str]]:
        """The tenants that listen here, now and whenever that changes."""
        told: frozenset[str] | None = None
        with self._events.watching_interest() as changed:
            while True:
                tenants = self._events.tenants_listening
                if tenants != told:
                    told = tenants
                    yield tenants
                await changed.wait()
                changed.clear()
