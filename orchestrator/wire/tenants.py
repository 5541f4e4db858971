"""Tenants and their tokens, and the audit log."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from orchestrator.wire.pages import NextCursor, Page
from orchestrator.wire.shape import Answer, Request, Timestamp, text

TenantId: TypeAlias = Annotated[
    str,
    text(
        'The id of the tenant: 1 to 64 of a-z A-Z 0-9 . _ -, and not "." or "..".',
        example="acme",
        pattern=r"^(?!\.\.?$)[A-Za-z0-9._\-]{1,64}$",
    ),
]
TokenId: TypeAlias = Annotated[
    str, text("The id of the token, which isn't the token itself.", example="tok-0123456789abcdef")
]

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern="^[^\x00]*$", description="For people.")]
_Reason: TypeAlias = Annotated[str, Meta(max_length=1000, pattern="^[^\x00]*$", description="Why, for people.")]
_Sessions: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000, description="Sessions; null: no limit.")] | None
_Messages: TypeAlias = (
    Annotated[int, Meta(ge=0, le=1_000_000, description="Messages sent in a minute, at each replica; null: no limit.")]
    | None
)
_Bytes: TypeAlias = (
    Annotated[
        int,
        Meta(
            ge=0,
            le=2**60,
            description="What its sessions may take in the database before no further one is made; null: no limit.",
        ),
    ]
    | None
)
_Days: TypeAlias = Annotated[
    int, Meta(ge=0, le=3650, description="How long messages of chats are kept; 0: they aren't.")
]


class Limits(Request, frozen=True, kw_only=True):
    sessions: _Sessions = None
    messages_per_minute: _Messages = None
    storage_bytes: _Bytes = None


class LimitChanges(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is."""

    sessions: _Sessions | UnsetType = UNSET
    messages_per_minute: _Messages | UnsetType = UNSET
    storage_bytes: _Bytes | UnsetType = UNSET


class CreateTenant(Request, frozen=True, kw_only=True):
    tenant_id: TenantId | None = None
    name: _Name
    limits: Limits = Limits()
    chat_retention_days: _Days = 0


class ChangeTenant(Request, frozen=True, kw_only=True):
    """What isn't named stays as it is."""

    name: _Name | UnsetType = UNSET
    limits: LimitChanges | UnsetType = UNSET
    chat_retention_days: _Days | UnsetType = UNSET
    blocked: Annotated[
        bool | UnsetType,
        Meta(description="A blocked tenant's tokens open nothing; its sessions stay linked and connected."),
    ] = UNSET
    blocked_reason: _Reason | UnsetType = UNSET


class Tenant(Answer, frozen=True, kw_only=True):
    tenant_id: TenantId
    name: str
    limits: Limits
    chat_retention_days: int
    blocked: bool
    blocked_at: Timestamp | None
    blocked_reason: str | None
    sessions: Annotated[int, Meta(description="How many it has.")]
    stored_bytes: Annotated[
        int | None, Meta(description="What they took when that was last measured; null where there is no limit.")
    ]
    created_at: Timestamp


class Tenants(Answer, frozen=True, kw_only=True):
    tenants: list[Tenant]
    next_cursor: NextCursor


class CreateToken(Request, frozen=True, kw_only=True):
    name: _Name
    scopes: Annotated[
        list[Literal["read", "send", "manage"]],
        Meta(min_length=1, max_length=3, description="None that the token which asks for it lacks."),
    ]
    expires_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="ISO 8601 with a time zone; null: it doesn't expire."),
    ] = None


class Token(Answer, frozen=True, kw_only=True):
    """A token, but for the token itself, which was shown once."""

    token_id: TokenId
    name: str
    hint: Annotated[str, Meta(description="Its first characters.")]
    scopes: list[str]
    created_by: Annotated[str, Meta(description="The id of the token that made it, or admin.")]
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    last_used_at: Annotated[Timestamp | None, Meta(description="To the minute.")]


class NewToken(Token, frozen=True):
    token: Annotated[str, text("The token. It is shown now and never again.", example="bo_...")]


class Tokens(Answer, frozen=True, kw_only=True):
    tokens: list[Token]
    next_cursor: NextCursor


class ListActs(Page, frozen=True):
    tenant_id: Annotated[str | None, Meta(description="What concerns this tenant only.")] = None


class Act(Answer, frozen=True, kw_only=True):
    """What was done: by the admin with tenants, tokens and others' sessions, and by anybody with tokens."""

    at: Timestamp
    actor: Annotated[str, Meta(description="The id of a token, or admin.")]
    action: Annotated[str, Meta(description="The operation: an operationId of this document.")]
    tenant_id: Annotated[str, Meta(description="Whom it concerns.")]
    path: str
    status: Annotated[int | None, Meta(description="How it was answered; null: begun, and its end is unknown.")]
    result: Annotated[str | None, Meta(description="The address of what was made.")]
    request_id: str
    address: Annotated[str | None, Meta(description="Where the request came from.")]


class Acts(Answer, frozen=True, kw_only=True):
    audit: list[Act]
    next_cursor: NextCursor
