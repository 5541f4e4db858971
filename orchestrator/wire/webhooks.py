"""Webhooks, and what was delivered to them."""

from typing import Annotated

from msgspec import Meta

from orchestrator.domain.webhook import DeliveryState
from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, SessionId, Timestamp, text

Url = Annotated[
    str, text("https:// or http://, and a public address.", example="https://example.org/whatsapp", format="uri")
]
Events = Annotated[
    list[Annotated[str, text("The type of an event, or * for all.", example="message.received")]],
    Meta(min_length=1, max_length=20),
]
ShownOnce = Annotated[str, text("Shown only this once.", example="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]


class CreateWebhook(Request, frozen=True, kw_only=True):
    url: Url
    events: Events
    session_id: Annotated[SessionId, Meta(description="Events of this session only; left out: of all.")] | None = None


class ChangeWebhook(Request, frozen=True):
    url: Url | None = None
    events: Events | None = None
    enabled: Annotated[bool, Meta(description="One that is switched on goes on with what waits.")] | None = None


class RotateSecret(Request, frozen=True):
    at_once: Annotated[
        bool, Meta(description="The secret before stops to sign now; otherwise both sign for a day.")
    ] = False


class Webhook(Answer, frozen=True):
    webhook_id: Annotated[str, text("Names the webhook.", example="wh_5f0c1d2e3a4b5c6d7e8f9a0b")]
    session_id: str | None
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: Annotated[Timestamp | None, Meta(description="Since when every try failed.")]
    created_at: Timestamp


class WebhookWithSecret(Webhook, frozen=True):
    secret: ShownOnce


class Webhooks(Answer, frozen=True):
    webhooks: list[Webhook]
    next_cursor: NextCursor


class ListWebhooks(Page, frozen=True):
    session_id: Annotated[str, Meta(max_length=64, description="Those of this session only.")] | None = None


class WebhookTest(Answer, frozen=True):
    """What came of one try. ``status`` null: there was no answer, and ``error`` says why."""

    succeeded: bool
    status: int | None
    duration_ms: int
    answer: Annotated[str | None, Meta(description="The first 500 characters of what came back.")]
    error: str | None


class Delivery(Answer, frozen=True):
    """One event on its way to the webhook, with the outcome of its last try."""

    number: int
    event_id: Annotated[str, Meta(description="The webhook-id header: the same at each try.")]
    type: str
    session_id: str
    state: DeliveryState
    created_at: Timestamp
    attempts: int
    attempted_at: Timestamp | None
    status: int | None
    duration_ms: int | None
    answer: str | None
    error: str | None


class Deliveries(Answer, frozen=True):
    deliveries: list[Delivery]
    next_cursor: NextCursor


class ListDeliveries(Page, frozen=True):
    state: Annotated[DeliveryState, Meta(description="``dead``: those that were given up.")] | None = None


class Replayed(Answer, frozen=True):
    replayed: Annotated[int, Meta(description="How many are tried again.")]
