"""Webhooks as their owners see them: make, change, switch on and off, test, look at deliveries, replay."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from orchestrator.domain.errors import AddressForbidden, AddressUnreachable, FieldError, InvalidRequest
from orchestrator.domain.event import new_event_id
from orchestrator.domain.webhook import (
    ALL,
    EVENT_TYPES,
    ROTATION_OVERLAP,
    Attempt,
    Delivery,
    DeliveryState,
    Secret,
    Webhook,
    headers,
    new_secret,
    signing,
)
from orchestrator.outbound.client import OutboundClient
from orchestrator.services.events import timestamp
from orchestrator.store.webhooks import WebhookStore

#: Seconds that a receiver has for its answer.
ANSWER_SECONDS = 15.0
#: Of an answer, what is kept.
_ANSWER_BYTES = 1024
_ANSWER_CHARACTERS = 500


class Webhooks:
    def __init__(
        self,
        store: WebhookStore,
        outbound: OutboundClient,
        on_change: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._on_change = on_change
        self._clock = clock

    async def add(self, tenant_id: str, session_id: str | None, url: str, events: Sequence[str]) -> Webhook:
        """A webhook that hears of everything from now on; its secret is to be shown now or never."""
        self._check(url, events)
        webhook = await self._store.add(tenant_id, session_id, url, new_secret(), events)
        self._on_change()
        return webhook

    async def get(self, tenant_id: str, webhook_id: str) -> Webhook:
        return await self._store.get(tenant_id, webhook_id)

    async def page(self, tenant_id: str, session_id: str | None, *, after: str, most: int) -> list[Webhook]:
        return await self._store.page(tenant_id, session_id, after=after, most=most)

    async def change(
        self,
        tenant_id: str,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """None leaves a thing as it is. One that is switched on goes on with what waits."""
        webhook = await self._store.get(tenant_id, webhook_id)
        changed = replace(
            webhook,
            url=webhook.url if url is None else url,
            events=webhook.events if events is None else tuple(events),
            enabled=webhook.enabled if enabled is None else enabled,
        )
        self._check(changed.url, changed.events)
        if enabled is not None:
            changed = replace(changed, disabled_reason=None if enabled else "Switched off by request.")
        await self._store.replace(changed)
        self._on_change()
        return await self._store.get(tenant_id, webhook_id)

    async def rotate(self, tenant_id: str, webhook_id: str, *, at_once: bool) -> Webhook:
        """A new secret, to be shown now or never. The one before signs too for a day, unless ``at_once``: it is known to others."""
        webhook = await self._store.get(tenant_id, webhook_id)
        now = self._clock()
        before = () if at_once else (Secret(webhook.secrets[0].value, now + ROTATION_OVERLAP),)
        await self._store.replace(replace(webhook, secrets=(new_secret(), *before)))
        return await self._store.get(tenant_id, webhook_id)

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """With everything that waits for it."""
        await self._store.delete(tenant_id, webhook_id)
        self._on_change()

    async def test(self, tenant_id: str, webhook_id: str) -> Attempt:
        """Send an event of the type ``webhook.test`` now, whether the webhook is on or not."""
        webhook = await self._store.get(tenant_id, webhook_id)
        now = self._clock()
        body = payload("webhook.test", now, {"webhook_id": webhook_id})
        return await attempt(self._outbound, webhook.url, webhook.secrets, new_event_id(), body, now)

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, state: DeliveryState | None, before: int | None, most: int
    ) -> list[Delivery]:
        """Below number ``before``, newest first."""
        await self._store.get(tenant_id, webhook_id)
        return await self._store.deliveries(webhook_id, state=state, before=before, most=most)

    async def replay(self, tenant_id: str, webhook_id: str, number: int | None) -> int:
        """Try what was given up again: one, or all; how many."""
        await self._store.get(tenant_id, webhook_id)
        replayed = await self._store.replay(webhook_id, number)
        self._on_change()
        return replayed

    def _check(self, url: str, events: Sequence[str]) -> None:
        errors = []
        problem = self._outbound.rules.url_problem(url)
        if problem is not None:
            errors.append(FieldError("url", problem))
        unknown = [event for event in events if event not in EVENT_TYPES and event != ALL]
        if unknown or not events:
            errors.append(FieldError("events", f"must be some of {', '.join(sorted(EVENT_TYPES))}, or {ALL} for all"))
        if errors:
            raise InvalidRequest(errors=errors)


def payload(type_: str, at: datetime, data: dict[str, Any]) -> bytes:
    """The body of a delivery; the same bytes at each try."""
    return msgspec.json.encode({"type": type_, "timestamp": timestamp(at), "data": data})


async def attempt(
    outbound: OutboundClient, url: str, secrets: Sequence[Secret], event_id: str, body: bytes, now: datetime
) -> Attempt:
    """Post ``body``, signed; redirects are not followed. Never raises for what the receiver does."""
    began = time.monotonic()
    status, answer, error = None, None, None
    try:
        async with outbound.request(
            "POST",
            url,
            total_seconds=ANSWER_SECONDS,
            headers=headers(event_id, now, body, signing(secrets, now)),
            body=body,
        ) as response:
            answer = _shown(await response.content.read(_ANSWER_BYTES))
            status = response.status
            if 300 <= status < 400:
                error = "The address redirects elsewhere, which is not followed."
    except (AddressForbidden, AddressUnreachable) as failure:
        error = failure.message
    return Attempt(round((time.monotonic() - began) * 1000), status, answer, error)


def _shown(content: bytes) -> str:
    # PostgreSQL's text has no NUL.
    return content.decode(errors="replace").replace("\x00", "")[:_ANSWER_CHARACTERS]
