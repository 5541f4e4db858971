"""Links that let whoever holds the phone, and has no token, link one session: once, for a while, in one browser."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.domain.errors import AlreadyPaired, PairingLinkNotFound
from orchestrator.domain.pairing_link import PairingLink
from orchestrator.store.pairing_links import PairingLinkStore
from orchestrator.store.sessions import SessionStore

#: Days that a link is listed after its end.
KEPT_DAYS = 30.0
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewPairingLink:
    link: PairingLink
    token: str
    """Known now and never again: the store has its digest."""


class PairingLinks:
    def __init__(self, store: PairingLinkStore, sessions: SessionStore) -> None:
        self._store = store
        self._sessions = sessions

    async def create(self, tenant_id: str, session_id: str, *, requested_by: str, lives: timedelta) -> NewPairingLink:
        """A link to the pairing page of a session that isn't linked (else ``AlreadyPaired``)."""
        session = await self._sessions.get(tenant_id, session_id)
        if session.paired:
            raise AlreadyPaired
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        return NewPairingLink(await self._store.add(tenant_id, session_id, token, requested_by, lives), token)

    async def page(self, tenant_id: str, session_id: str, *, before: int | None, most: int) -> Sequence[PairingLink]:
        """Newest first, before the one of that number; ``SessionNotFound``."""
        await self._sessions.get(tenant_id, session_id)
        return await self._store.page(tenant_id, session_id, before=before, most=most)

    async def revoke(self, tenant_id: str, session_id: str, link_id: int) -> None:
        """Its page is gone from now on; ``PairingLinkNotFound``."""
        await self._sessions.get(tenant_id, session_id)
        if not await self._store.revoke(tenant_id, session_id, link_id):
            raise PairingLinkNotFound

    async def find(self, token: str, browser: str | None) -> PairingLink:
        """The link, if this browser may see its page: nobody opened it yet, or it did; else ``PairingLinkNotFound``."""
        link = await self._store.find(token, browser)
        if link is None:
            raise PairingLinkNotFound
        return link

    async def open(self, token: str) -> str:
        """Bind the link to one browser, which gets the secret that is returned; ``PairingLinkNotFound`` for the second."""
        browser = secrets.token_urlsafe(_TOKEN_BYTES)
        if not await self._store.open(token, browser):
            raise PairingLinkNotFound
        return browser

    async def used(self, link: PairingLink) -> None:
        """The session was linked: the page shows that to its browser, and opens for nobody else."""
        if link.used_at is None:
            await self._store.use(link.link_id)

    async def forget_old(self) -> int:
        """Remove links that ended long ago. Raises ``DatabaseUnavailable``."""
        return await self._store.forget(days=KEPT_DAYS)
