"""What the Telegram bot asks of the orchestrator for itself."""

from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, text

Epoch: TypeAlias = Annotated[int, Meta(ge=0, le=2**62, description="Of the lease under which it is written.")]
DocumentName: TypeAlias = Annotated[
    str, text("1 to 100 of a-z 0-9 : . _ -", example="chat:123", pattern="^[a-z0-9:._-]{1,100}$")
]


class HoldLease(Request, frozen=True):
    holder: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[!-~]*$", description="Names the process.")]
    seconds: Annotated[float, Meta(ge=1, le=120, description="For how long, unless it is renewed.")] = 6.0


class Lease(Answer, frozen=True):
    """``epoch`` is null while another process is the bot; it grows with each change."""

    epoch: int | None


class ReleaseLease(Request, frozen=True):
    holder: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[!-~]*$")]


class FirstToken(Answer, frozen=True):
    """``admin_token`` is null but once: in the process that made it, at the very first start."""

    admin_token: str | None


class ListDocuments(Page, frozen=True):
    prefix: Annotated[str, Meta(max_length=100, pattern="^[a-z0-9:._-]*$")] = ""


class Document(Answer, frozen=True):
    name: DocumentName
    value: dict[str, Any]


class Documents(Answer, frozen=True):
    documents: list[Document]
    next_cursor: NextCursor


class PutDocument(Request, frozen=True):
    epoch: Epoch
    value: dict[str, Any]


class TelegramUpdate(Request, frozen=True, forbid_unknown_fields=False):
    """An update as Telegram delivers it; kept as it is."""

    update_id: Annotated[int, Meta(ge=0, le=2**62)]


class Updates(Answer, frozen=True):
    updates: list[dict[str, Any]]


class ForgetUpdates(Request, frozen=True):
    update_ids: Annotated[list[Annotated[int, Meta(ge=0, le=2**62)]], Meta(max_length=1000)]
