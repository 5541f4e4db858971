"""A link to the page on which whoever holds the phone links a session."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PairingLink:
    """``requested_by``: who asks for the link, as the page shows it. ``opened_at``: when a browser took it, which it is
    bound to since. ``used_at``: when the session was linked through it."""

    link_id: int
    tenant_id: str
    session_id: str
    requested_by: str
    created_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None
