"""A subscription: what a tenant has paid for, what follows at a moment, and of what it is to be reminded."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SubscriptionState(StrEnum):
    FREE = "free"
    TRIAL = "trial"
    ACTIVE = "active"
    GRACE = "grace"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    tenant_id: str
    plan_id: str | None
    active_until: datetime | None
