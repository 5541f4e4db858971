"""Settings of sessions: kept, and told to the connection that runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from orchestrator.domain.errors import AuthStateCorrupt, ReplicaUnreachable, SessionNotOpen, SidecarUnavailable
from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.session_settings import SessionSettings, proxy_problem, waiting_for_pairing
from orchestrator.services.leases import LeaseBook
from orchestrator.services.shards import Shards
from orchestrator.store.session_settings import SessionSettingsStore
from orchestrator.store.sessions import SessionStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChangedSettings:
    settings: SessionSettings
    at_next_pairing: list[str]
    """Which of the changes WhatsApp is told only when the session is linked anew."""
    reconnects: bool
    """Whether the connection is opened anew for it."""


class Settings:
    """A connection that is just being started may have been given the settings before a change: whoever starts one asks
    ``is_stale`` afterwards, and tells it again."""

    def __init__(
        self,
        store: SessionSettingsStore,
        sessions: SessionStore,
        leases: LeaseBook,
        shards: Shards,
        rules: AddressRules,
    ) -> None:
        self._rules = rules
        self._store = store
        self._sessions = sessions
        self._leases = leases
        self._shards = shards
        self._stale: set[int] = set()

    async def get(self, tenant_id: str, session_id: str) -> SessionSettings:
        return await self._store.get(tenant_id, session_id)

    def proxy_problem(self, url: str) -> str | None:
        """Why no session may have this proxy; None if one may."""
        return proxy_problem(url, self._rules)

    async def of(self, session_refs: list[int]) -> Mapping[int, SessionSettings | AuthStateCorrupt]:
        """The settings of sessions that are about to start, or why they can't be opened."""
        return await self._store.of(session_refs)

    def is_stale(self, session_ref: int) -> bool:
        """Whether the settings changed and the connection was not told, since this was asked last."""
        stale = session_ref in self._stale
        self._stale.discard(session_ref)
        return stale

    async def change(self, tenant_id: str, session_id: str, changes: Mapping[str, Any]) -> ChangedSettings:
        """Keep these changes and have the connection take them, if there is one.

        Raises ``ReplicaUnreachable`` when another replica took the session meanwhile: asked again, it is told there.
        """
        before, after = await self._store.change(tenant_id, session_id, lambda settings: replace(settings, **changes))
        session = await self._sessions.get(tenant_id, session_id)
        if session.owner not in (None, self._leases.owner):
            raise ReplicaUnreachable
        changed = sorted(name for name in changes if getattr(before, name) != getattr(after, name))
        log.info("settings changed", session_id=session_id, changed=changed)
        waiting = waiting_for_pairing(before, after, paired=session.paired)
        return ChangedSettings(after, waiting, reconnects=await self._tell(session.session_ref, after))

    async def _tell(self, session_ref: int, settings: SessionSettings) -> bool:
        self._stale.add(session_ref)
        try:
            renewed = await self._shards.client_of(session_ref).apply(session_ref, settings)
        except SessionNotOpen:
            return False  # it isn't running; or it is being started, and is told afterwards
        except SidecarUnavailable as error:
            log.warning("settings not told to the connection; the next one has them", error=error.message)
            return False
        self._stale.discard(session_ref)
        return renewed
