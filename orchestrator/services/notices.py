"""Notices of money: kept for whoever was away, and told as events to whoever listens."""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.domain.billing_notice import Notice
from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.services.events import EventBus, timestamp
from orchestrator.store.notices import NoticeStore

EVENT = "billing.notice"

#: Events that are about no session.
NO_SESSION = ""


class Notices:
    def __init__(self, store: NoticeStore, events: EventBus) -> None:
        self._store = store
        self._events = events

    async def after(self, tenant_id: str | None, notice_id: int, *, most: int) -> Sequence[Notice]:
        """The oldest after that number, of one tenant or of all."""
        return await self._store.after(tenant_id, notice_id, most=most)

    def publish(self, notices: Iterable[Notice]) -> None:
        """Tell the tenant, and the operator, of what is stored already."""
        for notice in notices:
            for listener in dict.fromkeys((notice.tenant_id, OPERATOR_TENANT)):
                self._events.publish(listener, EVENT, NO_SESSION, shown(notice))


def shown(notice: Notice) -> dict[str, Any]:
    """A notice as the public API has it, as an event or in a list."""
    return {
        "notice_id": notice.notice_id,
        "tenant_id": notice.tenant_id,
        "kind": notice.kind,
        "at": timestamp(notice.at),
        "data": notice.data,
    }
