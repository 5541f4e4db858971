"""Webhooks, and what was delivered to them."""

from collections.abc import AsyncIterator

from orchestrator.client.transport import Transport, segment
from orchestrator.domain.webhook import DeliveryState
from orchestrator.wire import webhooks as wire
from orchestrator.wire.shape import NoFields


class Webhooks:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, webhook: wire.CreateWebhook) -> wire.WebhookWithSecret:
        """With its secret, which is in this answer and nowhere else."""
        return await self._transport.call("POST", "/v1/webhooks", wire.WebhookWithSecret, body=webhook)

    def list(self, session_id: str | None = None) -> AsyncIterator[wire.Webhook]:
        """All of them, or those of one session, by id."""
        query = None if session_id is None else {"session_id": session_id}
        return self._transport.pages("/v1/webhooks", wire.Webhooks, lambda page: page.webhooks, query)

    async def get(self, webhook_id: str) -> wire.Webhook:
        return await self._transport.call("GET", _path(webhook_id), wire.Webhook)

    async def change(self, webhook_id: str, changes: wire.ChangeWebhook) -> wire.Webhook:
        """What isn't named stays as it is."""
        return await self._transport.call("PATCH", _path(webhook_id), wire.Webhook, body=changes)

    async def delete(self, webhook_id: str) -> None:
        """With everything that waits for it."""
        await self._transport.done("DELETE", _path(webhook_id))

    async def rotate_secret(self, webhook_id: str, *, at_once: bool = False) -> wire.WebhookWithSecret:
        """A new secret; unless ``at_once`` the one before signs too for a day."""
        body = wire.RotateSecret(at_once=at_once)
        return await self._transport.call(
            "POST", f"{_path(webhook_id)}/rotate-secret", wire.WebhookWithSecret, body=body
        )

    async def test(self, webhook_id: str) -> wire.WebhookTest:
        return await self._transport.call("POST", f"{_path(webhook_id)}/test", wire.WebhookTest, body=NoFields())

    def deliveries(self, webhook_id: str, state: DeliveryState | None = None) -> AsyncIterator[wire.Delivery]:
        """Newest first."""
        query = None if state is None else {"state": state.value}
        path = f"{_path(webhook_id)}/deliveries"
        return self._transport.pages(path, wire.Deliveries, lambda page: page.deliveries, query)

    async def replay(self, webhook_id: str, number: int | None = None) -> int:
        """Try what was given up again, one or all; how many."""
        path = _path(webhook_id) if number is None else f"{_path(webhook_id)}/deliveries/{number}"
        return (await self._transport.call("POST", f"{path}/replay", wire.Replayed, body=NoFields())).replayed


def _path(webhook_id: str) -> str:
    return f"/v1/webhooks/{segment(webhook_id)}"
