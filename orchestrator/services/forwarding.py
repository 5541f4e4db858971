"""Requests about a session that another replica runs: made again there, with the caller's own token."""

import asyncio
from contextlib import AbstractAsyncContextManager

from orchestrator.domain.errors import ReplicaUnreachable
from orchestrator.domain.replica import Replica
from orchestrator.domain.session import DesiredState
from orchestrator.peer.client import Call, PeerClient, Reply
from orchestrator.services.leases import LeaseBook
from orchestrator.services.replicas import Replicas
from orchestrator.store.sessions import SessionStore

_LOOK_AGAIN_SECONDS = 0.2
#: An owner that the last heartbeat didn't find, or without its address, is a new one: the next heartbeats bring both.
_HEARD_OF_SECONDS = 5.0


class Forwarding:
    def __init__(self, sessions: SessionStore, leases: LeaseBook, replicas: Replicas, client: PeerClient) -> None:
        self._sessions = sessions
        self._leases = leases
        self._replicas = replicas
        self._client = client

    async def owner(self, tenant_id: str, session_id: str, *, wait_seconds: float = 0.0) -> Replica | None:
        """The other replica that runs this session; None when it runs here, nowhere, or is unknown.

        Waits up to ``wait_seconds`` for somebody to take a session that should run, and a few seconds to hear of an owner that
        is new. Raises ``SessionNotFound``, ``DatabaseUnavailable``, and ``ReplicaUnreachable`` for one that isn't heard of.
        """
        clock = asyncio.get_running_loop().time
        began_at = clock()
        while self._leases.find(tenant_id, session_id) is None and self._replicas.others:
            session = await self._sessions.get(tenant_id, session_id)
            waited = clock() - began_at
            if session.owner is not None and session.owner != self._leases.owner:
                replica = self._replicas.others.get(session.owner)
                if replica is not None and replica.address is not None:
                    return replica
                if waited >= _HEARD_OF_SECONDS:
                    raise ReplicaUnreachable
            else:
                waits = session.desired_state is DesiredState.RUNNING and session.set_aside_by is None
                if not waits or waited >= wait_seconds:
                    return None
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return None

    def forward(self, replica: Replica, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Make the call there; raises ``ReplicaUnreachable``."""
        return self._client.forward(replica, call)
