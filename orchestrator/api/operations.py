"""Operations of the public API: each address is one value in its api module.

``api/public.py`` registers them, lets in who may, and ``/openapi.json`` is written from the same values, so that an
operation can't be there and be undocumented, or open to a token of the wrong scope. To add one: write its structs in
``orchestrator/wire``, its handler in a module here, an ``Operation`` in that module's ``OPERATIONS``, and name a new module in
``public.OPERATIONS``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, TypeAlias

import msgspec
from aiohttp import web

from orchestrator.api.request_ids import Handler
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.tenant import Scope
from orchestrator.wire.addresses import ChannelText, ChatText, GroupText, InviteText, LabelText, UserText
from orchestrator.wire.alerts import AlertName
from orchestrator.wire.billing import ChargeId, PlanId
from orchestrator.wire.bot import DocumentName
from orchestrator.wire.broadcasts import BroadcastId
from orchestrator.wire.overview import ProcessName
from orchestrator.wire.reminders import ContactId, ScheduleId, TemplateId
from orchestrator.wire.shape import SessionId, text
from orchestrator.wire.tenants import TenantId, TokenId

#: Bytes of a request's body, unless the operation says otherwise.
BODY_LIMIT = 1024 * 1024

#: Seconds; a send may take 45 at the sidecar.
LONGEST_SECONDS = 60.0

JSON = "application/json"
#: The body as the part ``message``, and a file as the part ``file`` after it.
FORM = "multipart/form-data"
EVENT_STREAM = "text/event-stream"

#: A struct, or a tagged union of structs.
Shape: TypeAlias = type[msgspec.Struct] | UnionType

#: What may stand in the braces of a path, and how it is described. The handlers check it.
PATH_PARAMETERS: Mapping[str, object] = {
    "session_id": SessionId,
    "link_id": Annotated[int, msgspec.Meta(ge=1, description="Its number.", examples=[1])],
    "tenant_id": TenantId,
    "plan_id": PlanId,
    "charge_id": ChargeId,
    "token_id": TokenId,
    "contact_id": ContactId,
    "schedule_id": ScheduleId,
    "template_id": TemplateId,
    "process": ProcessName,
    "document": DocumentName,
    "alert": AlertName,
    "broadcast_id": BroadcastId,
    "message_id": Annotated[str, text("WhatsApp's id of the message.", example="3EB0A1B2C3D4E5F60718")],
    "chat": ChatText,
    "contact": UserText,
    "group": GroupText,
    "channel": ChannelText,
    "label": LabelText,
    "invite": InviteText,
    "generation": Annotated[int, msgspec.Meta(ge=1, description="Its number.", examples=[1])],
    "bulk_id": Annotated[str, msgspec.Meta(description="Its id.", examples=["bulk_5f0c1d2e3a4b5c6d7e8f9a0b"])],
    "webhook_id": Annotated[str, msgspec.Meta(description="Its id.", examples=["wh_5f0c1d2e3a4b5c6d7e8f9a0b"])],
    "number": Annotated[int, msgspec.Meta(ge=1, description="Its number.", examples=[17])],
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    method: str
    path: str
    handler: Handler
    scope: Scope | None
    """What a token needs; None: no token is needed."""
    tag: str
    """Groups operations in the documentation."""
    summary: str
    """One sentence, imperative."""
    details: str = ""
    """What the summary and the shapes don't say."""
    takes: Shape | None = None
    """The body; a tagged union of structs too."""
    query: type[msgspec.Struct] | None = None
    headers: type[msgspec.Struct] | None = None
    """Request headers, by the names that ``msgspec.field(name=)`` gives them."""
    gives: Shape | None = None
    """The answer's body; None: empty, or none of JSON."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Further statuses that are answered with ``gives``."""
    errors: tuple[type[OrchestratorError], ...] = ()
    """Beyond those that every operation has."""
    example: object = None
    """A value of ``takes``."""
    example_text: str | None = None
    """An example of the body, if that is a text of ``body_types`` and so it ``takes`` nothing."""
    example_answer: object = None
    """A value of ``gives``."""
    body_limit: int = BODY_LIMIT
    body_types: tuple[str, ...] = (JSON,)
    answer_types: tuple[str, ...] = ()
    """Content types of the answer, beside JSON if it ``gives`` something."""
    anywhere: bool = False
    """Any replica answers it from the store, though its path names a session. Others are handed to the session's owner."""
    nul: bool = False
    """Texts of its body may hold the character NUL, which PostgreSQL's text doesn't take."""
    audited: bool = False
    """Whoever does it is put on record. What the admin does with another tenant's sessions is in any case."""
    polled: bool = False
    """Asked again and again while somebody looks at a page: not put on record."""
    sends_message: bool = False
    """A request counts as one message of the tenant's messages per minute. One that sends many counts them itself."""
    stays: Callable[[web.Request], Awaitable[bool]] | None = None
    """Says of a request whether any replica answers it, though others to the same address are handed on."""
    longest_seconds: float = LONGEST_SECONDS
    """How long the session's owner may take to begin its answer, when another replica asks it."""
    failure: type[msgspec.Struct] | None = None
    """How it tells errors, if not as problem documents: the old API only."""
    called: str = ""
    """Its name, if the handler has more than one operation."""

    @property
    def name(self) -> str:
        """Unique and stable: ``sessions_create``."""
        return self.called or f"{self.handler.__module__.rpartition('.')[2]}_{self.handler.__name__}"

    @property
    def concerns_session(self) -> bool:
        return "{session_id}" in self.path


ROUTES: web.AppKey[dict[web.AbstractRoute, Operation]] = web.AppKey("routes", dict)
DOCUMENTED: web.AppKey[tuple[Operation, ...]] = web.AppKey("documented", tuple)


def register(app: web.Application, operations: tuple[Operation, ...]) -> None:
    routes: dict[web.AbstractRoute, Operation] = {}
    for operation in operations:
        routes[app.router.add_route(operation.method, operation.path, operation.handler)] = operation
        # A stream has no end that a HEAD could tell of.
        if operation.method == "GET" and EVENT_STREAM not in operation.answer_types:
            routes[app.router.add_route("HEAD", operation.path, operation.handler)] = operation
    app[ROUTES] = routes
    app[DOCUMENTED] = operations


def operation_of(request: web.Request) -> Operation | None:
    """The operation that a request is for; None for an address or a method that there isn't."""
    return request.app[ROUTES].get(request.match_info.route)
