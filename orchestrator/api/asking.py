"""What the modules share whose operations ask something of a session: who is addressed, and what can go wrong."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.domain.errors import (
    FieldError,
    InvalidRequest,
    OrchestratorError,
    SessionNotOpen,
    SessionNotSynced,
    SidecarGone,
    SidecarUnavailable,
    WhatsAppNoAnswer,
    WhatsAppRateLimited,
    WhatsAppRefused,
)
from orchestrator.domain.recipient import phone_digits
from orchestrator.domain.session import existing_id
from orchestrator.wire.shape import Answer

T = TypeVar("T", bound=msgspec.Struct)

SESSION = "/v1/sessions/{session_id}"

#: What every question to WhatsApp can come to.
ASKING: tuple[type[OrchestratorError], ...] = (
    InvalidRequest,
    SessionNotOpen,
    SessionNotSynced,
    SidecarUnavailable,
    SidecarGone,
    WhatsAppRefused,
    WhatsAppRateLimited,
    WhatsAppNoAnswer,
)

_USER = re.compile(r"[0-9]{5,20}@(s\.whatsapp\.net|lid)")
_GROUP = re.compile(r"[0-9-]{5,40}@g\.us")
_CHANNEL = re.compile(r"[0-9]{5,30}@newsletter")
_INVITE = re.compile(r"[A-Za-z0-9_-]{4,64}")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,32}")

_INVITE_HOSTS = ("chat.whatsapp.com", "whatsapp.com", "www.whatsapp.com")


class Nothing(Answer, frozen=True):
    """The sidecar's answer where there is nothing to tell."""


async def ask(request: web.Request, name: str, body: Mapping[str, Any], gives: type[T]) -> T:
    """The outcome of an operation of docs/internal-api.md on the session in the path."""
    session_id = existing_id(request.match_info["session_id"])
    return await request.app[SERVICES].operations.perform(request[TENANT], session_id, name, body, gives)


async def have_done(request: web.Request, name: str, body: Mapping[str, Any]) -> web.Response:
    """The same, for an operation with nothing to tell: 204."""
    await ask(request, name, body, Nothing)
    return web.Response(status=204)


def user_jid(text: str, field: str) -> str:
    phone = phone_digits(text)
    if phone is not None:
        return f"{phone}@s.whatsapp.net"
    return _matching(_USER, text, field, "a phone number with country code, or a jid (@s.whatsapp.net, @lid)")


def group_jid(text: str, field: str) -> str:
    return _matching(_GROUP, text, field, "the jid of a group (@g.us)")


def chat_jid(text: str, field: str) -> str:
    return text if _GROUP.fullmatch(text) else user_jid(text, field)


def channel_jid(text: str, field: str) -> str:
    return _matching(_CHANNEL, text, field, "the jid of a channel (@newsletter)")


def label_id(text: str, field: str) -> str:
    return _matching(_LABEL, text, field, "the id of a label")


def invite_code(text: str, field: str) -> str:
    """The code of an invite, which may come as the link that people send around."""
    try:
        link = urlsplit(text)
    except ValueError:
        link = urlsplit("")
    code = link.path.rpartition("/")[2] if link.hostname in _INVITE_HOSTS else text
    return _matching(_INVITE, code, field, "an invite code, or a link with one")


def user_jids(texts: list[str], field: str) -> list[str]:
    return [user_jid(text, f"{field}[{number}]") for number, text in enumerate(texts)]


def in_path(request: web.Request, name: str) -> str:
    """A part of the path that is no session id."""
    return request.match_info[name]


def given(body: msgspec.Struct) -> dict[str, Any]:
    """The fields of a body that were in it."""
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def _matching(pattern: re.Pattern[str], text: str, field: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidRequest(errors=[FieldError(field, f"must be {what}")])
    return text
