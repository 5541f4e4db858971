"""Moving in and out: whole sessions brought in from elsewhere and handed out to run elsewhere."""

import asyncio

from orchestrator.domain.errors import SessionRunning
from orchestrator.domain.portable_state import PortableState
from orchestrator.domain.session import DesiredState
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sessions import SessionStore

_POLL_SECONDS = 0.2


class Moving:
    """Works beside the service on its database; the two meet only there."""

    def __init__(self, sessions: SessionStore, states: PortableStateStore) -> None:
        self._sessions = sessions
        self._states = states

    async def move_in(self, tenant_id: str, session_id: str, state: PortableState, *, start: bool) -> None:
        """Store a session of another place. Nothing is paired: it opens with the creds that it brings.

        ``SessionExists`` when there is a paired one; ``EncryptionKeyMissing`` when the service could not open what we seal.
        """
        await self._states.require_same_keys()
        await self._states.add(tenant_id, session_id, state, DesiredState.RUNNING if start else DesiredState.STOPPED)

    async def move_out(
        self, tenant_id: str, session_id: str, *, stop_seconds: float | None
    ) -> tuple[PortableState, bool]:
        """The whole auth state, and whether the session still runs here, which it must not when it runs elsewhere.

        ``stop_seconds``: have it stopped first and wait that long for its owner to give it up, else ``SessionRunning``.
        """
        session = await self._sessions.get(tenant_id, session_id)
        if stop_seconds is not None:
            await self._sessions.desire(session.session_ref, DesiredState.STOPPED)
            await self._given_up(tenant_id, session_id, stop_seconds)
        state = await self._states.snapshot(tenant_id, session_id)
        session = await self._sessions.get(tenant_id, session_id)
        return state, session.lease_held or session.desired_state is DesiredState.RUNNING

    async def _given_up(self, tenant_id: str, session_id: str, seconds: float) -> None:
        for _ in range(round(seconds / _POLL_SECONDS)):
            if not (await self._sessions.get(tenant_id, session_id)).lease_held:
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise SessionRunning(
            f"The session still ran {seconds:g} s after it was told to stop; nothing was handed out, try again."
        )
