"""The folders that sidecars of the system before this one go on posting: kept here, run there.

Such a session belongs to whoever posts it. It is never wanted running here, until its owner starts it with the public API;
from then on it is ours, and what is posted is refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from orchestrator.domain.errors import AuthStateRefused, Overloaded, SessionNotFound, SessionRunning
from orchestrator.domain.session import DesiredState, Session
from orchestrator.store.portable_states import Changes, PortableStateStore
from orchestrator.store.sessions import SessionStore
from orchestrator.transfer import multi_file
from orchestrator.transfer.values import identity_of

log = structlog.get_logger(__name__)

#: Folders that are read or compared at a time. Each has a connection to PostgreSQL of its own, of which there are few.
AT_ONCE = 4

#: Bytes of posted folders that may be under way or wait for their turn.
WAITING_BYTES = 256 * 1024 * 1024

#: Kept beside the signal keys, of a type that Baileys doesn't have: whether contents were posted as texts or as objects,
#: because the poster wants them back as it gave them.
_FORM = ("posted-folder", "form")


class Form(StrEnum):
    """How the contents of files are written in a request or an answer."""

    TEXT = "text"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Folder:
    """Contents in JSON by file name, and the form in which they were posted."""

    files: Mapping[str, bytes] = field(repr=False)
    form: Form


class PostedFolders:
    def __init__(self, sessions: SessionStore, states: PortableStateStore) -> None:
        self._sessions = sessions
        self._states = states
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting_bytes = 0

    async def keep(self, tenant_id: str, session_id: str, folder: Folder) -> Changes:
        """Make what is stored equal to the folder; returns when it is durable.

        ``AuthStateRefused`` and nothing changed unless the folder is whole and sound; ``SessionRunning`` for a session
        that this service runs; ``Overloaded`` when too much waits.
        """
        size = sum(map(len, folder.files.values()))
        if self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES:
            raise Overloaded
        self._waiting_bytes += size
        try:
            async with self._turns:
                return await self._kept(tenant_id, session_id, folder)
        finally:
            self._waiting_bytes -= size

    async def _kept(self, tenant_id: str, session_id: str, folder: Folder) -> Changes:
        try:
            state = await asyncio.to_thread(multi_file.from_files, folder.files)
        except AuthStateRefused as error:
            log.warning("posted folder refused", session_id=session_id, reason=error.message)
            raise
        state = replace(state, keys={**state.keys, _FORM: f'"{folder.form}"'.encode()})
        changes = await self._states.post(
            tenant_id, session_id, state, lambda one, other: identity_of(one) == identity_of(other)
        )
        log.info("posted folder kept", session_id=session_id, written=changes.written, removed=changes.removed)
        return changes

    async def give(self, tenant_id: str, session_id: str) -> Folder:
        """The files as they were posted last; ``SessionRunning`` because two places must not run one session."""
        await self._not_ours(tenant_id, session_id)
        async with self._turns:
            state = await self._states.snapshot(tenant_id, session_id)
        objects = state.keys.get(_FORM) == f'"{Form.OBJECT}"'.encode()
        return Folder(multi_file.to_files(state), Form.OBJECT if objects else Form.TEXT)

    async def set_aside(self, tenant_id: str, session_id: str) -> None:
        """Hide the session and keep its pairing, set aside; nothing is deleted."""
        session = await self._not_ours(tenant_id, session_id)
        await self._sessions.delete(session.session_ref, session.generation)
        log.warning("posted folder set aside", session_id=session_id)

    async def known(self, tenant_id: str, session_id: str | None) -> Sequence[Session]:
        """All sessions, or the one of this id if there is one."""
        if session_id is None:
            return await self._sessions.list(tenant_id)
        try:
            return [await self._sessions.get(tenant_id, session_id)]
        except SessionNotFound:
            return []

    async def _not_ours(self, tenant_id: str, session_id: str) -> Session:
        session = await self._sessions.get(tenant_id, session_id)
        if session.lease_held or session.desired_state is DesiredState.RUNNING:
            raise SessionRunning
        return session
