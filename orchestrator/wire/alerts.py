"""What the operator is told of by the bot, and what not."""

from typing import Annotated

from msgspec import Meta

from orchestrator.domain.alert import AlertKind
from orchestrator.wire.shape import Answer, Timestamp

AlertName = Annotated[str, Meta(description="A kind of alert, as listed.", examples=[AlertKind.CONFLICT.value])]


class Alert(Answer, frozen=True):
    kind: AlertKind
    muted: Annotated[bool, Meta(description="Whether the operator's chat is spared these.")]
    muted_at: Timestamp | None


class Alerts(Answer, frozen=True):
    alerts: list[Alert]
