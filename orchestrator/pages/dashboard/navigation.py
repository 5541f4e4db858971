"""Where one can go. A new page is an entry here and a line in ``routes``."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from orchestrator.domain.tenant import OPERATOR_TENANT
from orchestrator.pages.dashboard.visits import Visit


@dataclass(frozen=True, slots=True)
class Entry:
    area: str
    label: str
    path: str
    here: bool


def entries(visit: Visit, area: str) -> Sequence[Entry]:
    """What the visitor may see: the service as a whole for the admin, and a tenant's things."""
    texts, tenant = visit.texts, f"/tenants/{quote(visit.tenant_id, safe='')}"
    own = [
        ("contacts", texts.contacts, f"{tenant}/contacts"),
        ("reminders", texts.reminders, f"{tenant}/reminders"),
        ("webhooks", texts.webhooks, f"{tenant}/webhooks"),
        ("outbox", texts.outbox, f"{tenant}/outbox"),
        ("subscription", texts.subscription, f"{tenant}/subscription"),
        *([("tokens", texts.tokens, f"{tenant}/tokens")] if visit.may_manage else []),
    ]
    if visit.is_admin:
        found = [
            ("sessions", texts.sessions, "/"),
            ("backups", texts.backups, "/backups"),
            ("tenants", texts.tenants, "/tenants"),
            ("payments", texts.payments, "/payments"),
            ("alerts", texts.alerts, "/alerts"),
            ("broadcasts", texts.broadcasts, "/broadcasts"),
            ("processes", texts.processes, "/processes"),
            ("audit", texts.audit, "/audit"),
            *(one for one in own if one[0] != "subscription" or visit.tenant_id != OPERATOR_TENANT),
        ]
    else:
        found = [("sessions", texts.sessions, "/"), ("backups", texts.backups, "/backups"), *own]
    return [Entry(name, label, path, name == area) for name, label, path in found]
