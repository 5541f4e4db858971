"""Tenants, tokens and the audit log over HTTP."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from msgspec import UNSET

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import CALLER, SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Moment, Name, Number, begins_after, cut
from orchestrator.domain.act import Act
from orchestrator.domain.errors import (
    FieldError,
    InvalidRequest,
    OperatorTenant,
    TenantExists,
    TenantInUse,
    TenantNotFound,
    TokenNotFound,
)
from orchestrator.domain.tenant import TENANT_ID, ApiToken, Limits, Scope, Tenant, existing_tenant_id
from orchestrator.services.events import timestamp
from orchestrator.wire import tenants as wire
from orchestrator.wire.pages import Page

#: What PostgreSQL stores beyond it, Python can't read.
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


async def create(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreateTenant)
    if body.tenant_id is not None and not TENANT_ID.fullmatch(body.tenant_id):
        message = 'must be 1 to 64 characters out of a-z A-Z 0-9 . _ -, and not "." or ".."'
        raise InvalidRequest(errors=[FieldError("tenant_id", message)])
    limits = Limits(
        sessions=body.limits.sessions,
        messages_per_minute=body.limits.messages_per_minute,
        storage_bytes=body.limits.storage_bytes,
    )
    tenants = request.app[SERVICES].tenants
    tenant = await tenants.create(body.tenant_id, body.name, limits, body.chat_retention_days)
    response = json_response(_shown(tenant), status=201)
    response.headers["Location"] = f"/v1/tenants/{tenant.tenant_id}"
    return response


async def index(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].tenants.page(after=begins_after(page, Name), most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda tenant: tenant.tenant_id)
    return json_response(wire.Tenants(tenants=[_shown(tenant) for tenant in shown], next_cursor=next_cursor))


async def show(request: web.Request) -> web.Response:
    return json_response(_shown(await request.app[SERVICES].tenants.get(_tenant_id(request))))


async def change(request: web.Request) -> web.Response:
    body = await read_json(request, wire.ChangeTenant)
    values: dict[str, Any] = {
        "name": body.name,
        "chat_retention_days": body.chat_retention_days,
        "blocked_reason": body.blocked_reason,
    }
    if body.limits is not UNSET:
        values |= {
            "max_sessions": body.limits.sessions,
            "messages_per_minute": body.limits.messages_per_minute,
            "storage_bytes": body.limits.storage_bytes,
        }
    tenant = await request.app[SERVICES].tenants.change(
        _tenant_id(request),
        {name: value for name, value in values.items() if value is not UNSET},
        blocked=None if body.blocked is UNSET else body.blocked,
    )
    return json_response(_shown(tenant))


async def delete(request: web.Request) -> web.Response:
    await request.app[SERVICES].tenants.delete(_tenant_id(request))
    return web.Response(status=204)


async def create_token(request: web.Request) -> web.Response:
    """Of the tenant in the path, or of the caller's."""
    body = await read_json(request, wire.CreateToken)
    if body.expires_at is not None and not datetime.now(UTC) < body.expires_at < _END_OF_TIME:
        raise InvalidRequest(errors=[FieldError("expires_at", "must be in the future, and before the year 9999")])
    token, secret = await request.app[SERVICES].tenants.make_token(
        request[CALLER], _tenant_id(request), body.name, frozenset(map(Scope, body.scopes)), body.expires_at
    )
    response = json_response(wire.NewToken(token=secret, **_shown_token(token)), status=201)
    response.headers["Location"] = f"{request.path}/{token.token_id}"
    response.headers["Cache-Control"] = "no-store"
    return response


async def tokens(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    before = begins_after(page, tuple[Moment, Name])
    found = await request.app[SERVICES].tenants.tokens(_tenant_id(request), before=before, most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda token: (token.created_at, token.token_id))
    return json_response(
        wire.Tokens(tokens=[wire.Token(**_shown_token(token)) for token in shown], next_cursor=next_cursor)
    )


async def revoke_token(request: web.Request) -> web.Response:
    token_id = request.match_info["token_id"]
    if not TENANT_ID.fullmatch(token_id):
        raise TokenNotFound
    await request.app[SERVICES].tenants.revoke(_tenant_id(request), token_id)
    return web.Response(status=204)


async def audit(request: web.Request) -> web.Response:
    page = read_query(request, wire.ListActs)
    tenant_id = None if page.tenant_id is None else existing_tenant_id(page.tenant_id)
    found = await request.app[SERVICES].acts.page(tenant_id, before=begins_after(page, Number), most=page.limit + 1)
    shown, next_cursor = cut(found, page, lambda act: act.act_id)
    return json_response(wire.Acts(audit=[_shown_act(act) for act in shown], next_cursor=next_cursor))


def _tenant_id(request: web.Request) -> str:
    """The tenant in the path, else the one that the request is about."""
    return existing_tenant_id(request.match_info.get("tenant_id", request[TENANT]))


def _shown(tenant: Tenant) -> wire.Tenant:
    return wire.Tenant(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        limits=wire.Limits(
            sessions=tenant.limits.sessions,
            messages_per_minute=tenant.limits.messages_per_minute,
            storage_bytes=tenant.limits.storage_bytes,
        ),
        chat_retention_days=tenant.chat_retention_days,
        blocked=tenant.blocked_at is not None,
        blocked_at=timestamp(tenant.blocked_at) if tenant.blocked_at else None,
        blocked_reason=tenant.blocked_reason,
        sessions=tenant.sessions,
        stored_bytes=tenant.stored_bytes,
        created_at=timestamp(tenant.created_at),
    )


def _shown_token(token: ApiToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "hint": token.hint,
        "scopes": [scope for scope in Scope if scope in token.scopes],
        "created_by": token.created_by,
        "created_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at) if token.expires_at else None,
        "revoked_at": timestamp(token.revoked_at) if token.revoked_at else None,
        "last_used_at": timestamp(token.last_used_at) if token.last_used_at else None,
    }


def _shown_act(act: Act) -> wire.Act:
    return wire.Act(
        at=timestamp(act.at),
        actor=act.deed.actor,
        action=act.deed.action,
        tenant_id=act.deed.tenant_id,
        path=act.deed.path,
        status=act.status,
        result=act.result,
        request_id=act.deed.request_id,
        address=act.deed.address,
    )


_SHOWN = wire.Tenant(
    tenant_id="acme",
    name="Acme Ltda.",
    limits=wire.Limits(sessions=5, messages_per_minute=60),
    chat_retention_days=0,
    blocked=False,
    blocked_at=None,
    blocked_reason=None,
    sessions=2,
    stored_bytes=None,
    created_at="2026-11-26T12:00:00.000Z",
)

_CREATE_TOKEN = wire.CreateToken(name="Their shop", scopes=["read", "send"])

_SHOWN_TOKEN: dict[str, Any] = {
    "token_id": "tok-0123456789abcdef",
    "name": "Their shop",
    "hint": "bo_Xy3f",
    "scopes": ["read", "send"],
    "created_by": "admin",
    "created_at": "2026-11-26T12:00:00.000Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-11-27T01:02:00.000Z",
}
_NEW_TOKEN = wire.NewToken(**(_SHOWN_TOKEN | {"token": "bo_Xy3fVQ...", "last_used_at": None}))
_TOKENS = wire.Tokens(tokens=[wire.Token(**_SHOWN_TOKEN)], next_cursor=None)

_SHOWN_ACT = wire.Act(
    at="2026-11-26T12:00:00.000Z",
    actor="admin",
    action="tenants_create_tenant_token",
    tenant_id="acme",
    path="/v1/tenants/acme/tokens",
    status=201,
    result="/v1/tenants/acme/tokens/tok-0123456789abcdef",
    request_id="3f1c0a9e5b7d4c21",
    address="203.0.113.7",
)

_TENANTS = "Tenants"
_TENANT = "/v1/tenants/{tenant_id}"
_TOKENS_TAG = "Tokens"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/tokens",
        handler=create_token,
        scope=Scope.MANAGE,
        tag=_TOKENS_TAG,
        summary="Make a token of one's own tenant; it is shown in this answer and never again.",
        takes=wire.CreateToken,
        gives=wire.NewToken,
        status=201,
        example=_CREATE_TOKEN,
        example_answer=_NEW_TOKEN,
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/tokens",
        handler=tokens,
        scope=Scope.MANAGE,
        tag=_TOKENS_TAG,
        summary="List the tokens of one's own tenant, newest first.",
        query=Page,
        gives=wire.Tokens,
        example_answer=_TOKENS,
    ),
    Operation(
        method="DELETE",
        path="/v1/tokens/{token_id}",
        handler=revoke_token,
        scope=Scope.MANAGE,
        tag=_TOKENS_TAG,
        summary="Revoke a token: within seconds it opens nothing on any replica.",
        status=204,
        errors=(TokenNotFound,),
        audited=True,
    ),
    Operation(
        method="POST",
        path="/v1/tenants",
        handler=create,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Create a tenant.",
        takes=wire.CreateTenant,
        gives=wire.Tenant,
        status=201,
        errors=(TenantExists,),
        example=wire.CreateTenant(tenant_id="acme", name="Acme Ltda.", limits=wire.Limits(sessions=5)),
        example_answer=_SHOWN,
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/tenants",
        handler=index,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="List the tenants, by id.",
        query=Page,
        gives=wire.Tenants,
        example_answer=wire.Tenants(tenants=[_SHOWN], next_cursor=None),
    ),
    Operation(
        method="GET",
        path=_TENANT,
        handler=show,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Show a tenant.",
        gives=wire.Tenant,
        example_answer=_SHOWN,
    ),
    Operation(
        method="PATCH",
        path=_TENANT,
        handler=change,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Change a tenant: its name and limits, how long its chats are kept, and whether it is blocked.",
        takes=wire.ChangeTenant,
        gives=wire.Tenant,
        errors=(OperatorTenant,),
        example=wire.ChangeTenant(limits=wire.LimitChanges(sessions=10), blocked=False),
        example_answer=_SHOWN,
        audited=True,
    ),
    Operation(
        method="DELETE",
        path=_TENANT,
        handler=delete,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Remove a tenant that has no sessions, and revoke its tokens. Its id is never free again.",
        status=204,
        errors=(TenantInUse, OperatorTenant),
        audited=True,
    ),
    Operation(
        method="POST",
        path=f"{_TENANT}/tokens",
        handler=create_token,
        called="tenants_create_tenant_token",
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Make a token of a tenant; it is shown in this answer and never again.",
        takes=wire.CreateToken,
        gives=wire.NewToken,
        status=201,
        example=_CREATE_TOKEN,
        example_answer=_NEW_TOKEN,
        audited=True,
    ),
    Operation(
        method="GET",
        path=f"{_TENANT}/tokens",
        handler=tokens,
        called="tenants_tenant_tokens",
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="List the tokens of a tenant, newest first.",
        query=Page,
        gives=wire.Tokens,
        example_answer=_TOKENS,
    ),
    Operation(
        method="DELETE",
        path=f"{_TENANT}/tokens/{{token_id}}",
        handler=revoke_token,
        called="tenants_revoke_tenant_token",
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="Revoke a token of a tenant: within seconds it opens nothing on any replica.",
        status=204,
        errors=(TokenNotFound,),
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/audit",
        handler=audit,
        scope=Scope.ADMIN,
        tag=_TENANTS,
        summary="List what was done with tenants, tokens and others' sessions, newest first.",
        query=wire.ListActs,
        gives=wire.Acts,
        errors=(TenantNotFound,),
        example_answer=wire.Acts(audit=[_SHOWN_ACT], next_cursor=None),
    ),
)
