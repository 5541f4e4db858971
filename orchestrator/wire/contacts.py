"""Contacts: what a session knows of them, and what WhatsApp tells when asked; numbers, and who is blocked."""

from typing import Annotated, Literal

from msgspec import Meta

from orchestrator.wire.addresses import Jid, Lid, UserAddress
from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp

Number = Annotated[
    str,
    Meta(pattern=r"^\+?[1-9][0-9]{6,14}$", description="Country code and number.", examples=["5511988887777"]),
]


class Contact(Answer, frozen=True, kw_only=True):
    jid: Jid
    lid: Lid
    name: Annotated[str | None, Meta(description="In the phone's address book.")]
    push_name: Annotated[str | None, Meta(description="What it calls itself.")]
    verified_name: Annotated[str | None, Meta(description="Of a business that WhatsApp verified.")]
    username: str | None


class Contacts(Answer, frozen=True, kw_only=True):
    contacts: list[Contact]
    next_cursor: NextCursor


class SaveContact(Request, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    first_name: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class About(Answer, frozen=True, kw_only=True):
    about: Annotated[str | None, Meta(description="Null: it has none, or doesn't show it.")]
    set_at: Timestamp | None


class PictureSize(Request, frozen=True, kw_only=True, forbid_unknown_fields=False):
    size: Literal["preview", "image"] = "preview"


class PictureUrl(Answer, frozen=True, kw_only=True):
    """Where the picture can be fetched for some hours."""

    url: Annotated[str | None, Meta(description="Null: there is none, or it is hidden.")]
    hidden: Annotated[bool, Meta(description="Its owner doesn't show it to this account.")]


class CheckNumbers(Request, frozen=True, kw_only=True):
    numbers: Annotated[list[Number], Meta(min_length=1, max_length=500)]


class CheckedNumber(Answer, frozen=True, kw_only=True):
    """``jid`` may have other digits than the number that was asked for."""

    number: str
    exists: bool
    jid: str | None
    lid: Lid


class CheckedNumbers(Answer, frozen=True, kw_only=True):
    numbers: list[CheckedNumber]


class Blocklist(Answer, frozen=True, kw_only=True):
    blocked: list[UserAddress]
