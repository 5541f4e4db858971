"""The event stream."""

from typing import Annotated

from msgspec import Meta, field

from orchestrator.wire.shape import Request, text


class Listen(Request, frozen=True, forbid_unknown_fields=False):
    session_id: Annotated[str | None, Meta(description="Events of this session only.")] = None
    types: Annotated[
        str | None, text("Events of these types only, separated by commas.", example="message.received,message.status")
    ] = None


class ListenToSocket(Listen, frozen=True, forbid_unknown_fields=False):
    after: Annotated[
        str | None, text("The id of the last event that you have dealt with.", pattern="^[0-9]{1,18}$")
    ] = None


class Resume(Request, frozen=True):
    last_event_id: Annotated[
        str | None, text("The id of the last event that you have dealt with.", pattern="^[0-9]{1,18}$")
    ] = field(name="Last-Event-ID", default=None)
