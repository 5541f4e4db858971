"""Linking a session to a phone."""

from typing import Annotated

from orchestrator.wire.shape import Answer, Request, Timestamp, text


class RequestPairingCode(Request, frozen=True):
    phone: Annotated[str, text("Country code and number, digits only.", example="5511999990000")]


class Qr(Answer, frozen=True):
    """The text of a QR code, and until when a phone accepts it."""

    qr: str
    expires_at: Timestamp


class PairingCode(Answer, frozen=True):
    pairing_code: Annotated[str, text("To be typed on the phone.", example="ABCD-EFGH")]
