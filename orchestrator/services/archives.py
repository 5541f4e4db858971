"""Auth states handed out as archives, for an operator who keeps copies elsewhere."""

import asyncio

from orchestrator.store.portable_states import PortableStateStore
from orchestrator.transfer import archive


class Archives:
    def __init__(self, states: PortableStateStore) -> None:
        self._states = states

    async def sealed(self, tenant_id: str, session_id: str, passphrase: str) -> bytes:
        """The session's present auth state as ``sessions export`` writes it; ``SessionNotFound``, ``SessionQuarantined``."""
        state = await self._states.snapshot(tenant_id, session_id)
        return await asyncio.to_thread(archive.pack, state, passphrase)
