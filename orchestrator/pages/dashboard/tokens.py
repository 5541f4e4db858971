"""A tenant's tokens. A new one is shown once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.client.tenants import Scope
from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.pages.dashboard.visits import Done, Page, Visit
from orchestrator.wire.tenants import Tokens

_SCOPES: tuple[Scope, ...] = ("read", "send", "manage")
#: How long a token may be chosen to live, in days.
_LIVES = ("", "1", "30", "365")


async def listed(visit: Visit) -> Page:
    return await _listed(visit)


async def _listed(visit: Visit, **more: Any) -> Page:
    found = await visit.own.page("/v1/tokens", Tokens, {"cursor": visit.asked("cursor") or None})
    values = {
        "tokens": found.tokens,
        "next_cursor": found.next_cursor,
        "now": datetime.now(UTC).isoformat(),
        "scopes": _SCOPES,
        "lives": _LIVES,
        "made": None,
        **more,
    }
    return Page(template="tokens.html", title=visit.texts.tokens, area="tokens", values=values)


async def create(visit: Visit) -> Page:
    scopes = [scope for scope in _SCOPES if visit.form.get(scope) == "yes"]
    days = visit.typed("days")
    if days not in _LIVES:
        raise InvalidRequest(errors=[FieldError("expires_at", "must be one of the choices")])
    ends = datetime.now(UTC) + timedelta(days=int(days)) if days else None
    made = await visit.own.tokens.create(visit.typed("name"), scopes, ends)
    return await _listed(visit, made=made)


async def revoke(visit: Visit) -> Done:
    await visit.own.tokens.revoke(visit.typed("token_id"))
    return Done(note="revoked")
