"""Linking a session to a phone."""

from typing import Annotated, Literal

from msgspec import Meta

from orchestrator.wire.pages import NextCursor
from orchestrator.wire.shape import Answer, Request, Timestamp, text


class RequestPairingCode(Request, frozen=True):
    phone: Annotated[str, text("Country code and number, digits only.", example="5511999990000")]


class Qr(Answer, frozen=True):
    """The text of a QR code, and until when a phone accepts it."""

    qr: str
    expires_at: Timestamp
    remaining_seconds: float
    rotated: Annotated[bool, Meta(description="In the place of one that WhatsApp took back: scan again.")]


class PairingProgress(Answer, frozen=True):
    """How far the linking of a session is. ``scan``: ``qr`` or ``pairing_code`` is what the phone accepts now."""

    phase: Annotated[
        Literal["waiting", "scan", "linking", "linked", "failed"],
        Meta(description="``failed``: it is over, or was never begun; start the session."),
    ]
    qr: str | None
    pairing_code: str | None
    expires_at: Timestamp | None
    rotated: bool
    failure: Annotated[str | None, Meta(description="The code of why it came to nothing, or the attempt before this.")]


class PairingCode(Answer, frozen=True):
    pairing_code: Annotated[str, text("To be typed on the phone.", example="ABCD-EFGH")]
    expires_at: Timestamp
    remaining_seconds: float


class CreatePairingLink(Request, frozen=True):
    requested_by: Annotated[
        str,
        Meta(
            description="Who asks for the link, as the page shows it.",
            min_length=1,
            max_length=80,
            examples=["Loja do João"],
        ),
    ]
    expires_in_seconds: Annotated[
        int, Meta(description="How long the page can be opened: a minute to a week.", ge=60, le=604_800)
    ] = 3600


class PairingLink(Answer, frozen=True):
    """A link to the page on which whoever holds the phone links the session."""

    link_id: int
    requested_by: str
    created_at: Timestamp
    expires_at: Timestamp
    opened_at: Annotated[Timestamp | None, Meta(description="When a browser opened it; it works in no other since.")]
    used_at: Annotated[Timestamp | None, Meta(description="When the session was linked through it.")]
    revoked_at: Timestamp | None


class NewPairingLink(PairingLink, frozen=True):
    url: Annotated[str, text("Shown now and never again.", example="https://example.com/pair/VZk...")]


class PairingLinks(Answer, frozen=True):
    pairing_links: list[PairingLink]
    next_cursor: NextCursor
