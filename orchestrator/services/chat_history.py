"""A chat's recent messages, for as long as the session's settings or its tenant's say; by default not at all."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from orchestrator.domain.errors import ChatsNotKept, DatabaseUnavailable, SessionNotFound
from orchestrator.domain.session import Lease
from orchestrator.store.kept_messages import KeptMessage, KeptMessageStore

log = structlog.get_logger(__name__)

#: How long it is remembered whether a session's messages are kept, so that a send needn't ask.
_REMEMBERED_SECONDS = 30.0
#: After a question without an answer; a database that hangs must not hold up each send.
_ASKED_AGAIN_SECONDS = 5.0
_FORGET_AT_ONCE = 5000


class ChatHistory:
    def __init__(self, store: KeptMessageStore) -> None:
        self._store = store
        self._kept: dict[int, tuple[bool, float]] = {}
        """By ``session_ref``: whether its messages are kept, and until when that is remembered."""

    async def messages(
        self, tenant_id: str, session_id: str, chat: str, *, before: int | None, most: int
    ) -> Sequence[KeptMessage]:
        """The newest first; raises ``SessionNotFound``, ``ChatsNotKept``, ``DatabaseUnavailable``."""
        session_ref, days = await self._store.retention(tenant_id, session_id)
        if days == 0:
            raise ChatsNotKept
        return await self._store.page(tenant_id, session_ref, chat, days=days, before=before, most=most)

    async def keeps(self, lease: Lease) -> bool:
        """Whether what this session sends is kept; False while the database doesn't say, which keeps no send back."""
        kept, until = self._kept.get(lease.session_ref, (False, 0.0))
        if until > time.monotonic():
            return kept
        try:
            _, days = await self._store.retention(lease.tenant_id, lease.session_id)
        except (DatabaseUnavailable, SessionNotFound):
            self._kept[lease.session_ref] = kept, time.monotonic() + _ASKED_AGAIN_SECONDS
            return kept
        self._kept[lease.session_ref] = days > 0, time.monotonic() + _REMEMBERED_SECONDS
        return days > 0

    async def keep(self, lease: Lease, data: Mapping[str, Any]) -> None:
        """A message that was sent; it was, whether it can be kept or not."""
        try:
            await self._store.keep(lease.tenant_id, lease.session_ref, lease.generation, dict(data))
        except DatabaseUnavailable:
            log.warning("a message that was sent is missing in its chat", session_id=lease.session_id)

    async def prune(self) -> None:
        """Forget what is older than its session's chats are kept."""
        while await self._store.prune(_FORGET_AT_ONCE) == _FORGET_AT_ONCE:
            pass
