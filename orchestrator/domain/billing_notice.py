"""What a tenant or the operator should be told of money, once."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeKind(StrEnum):
    ENDS_IN_3_DAYS = "ends_in_3_days"
    ENDS_TOMORROW = "ends_tomorrow"
    ENDS_TODAY = "ends_today"
    GRACE = "grace"
    """It has ended, and the sessions go on for some days."""
    PAUSED = "paused"
    """The sessions are paused."""
    RESUMED = "resumed"
    """They come back."""
    PAID = "paid"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"
    PAYMENT_PROBLEM = "payment_problem"
    """A payment that a person has to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    notice_id: int
    tenant_id: str
    kind: NoticeKind
    at: datetime
    data: dict[str, str | int | None]
