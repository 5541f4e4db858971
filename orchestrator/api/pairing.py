"""Pairing over HTTP: the QR code as data or picture, and the pairing code."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web

from orchestrator.api import qr_codes
from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import PUBLIC_URL, SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.pages import Number, begins_after, cut
from orchestrator.api.qr_codes import preferred_format
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    AlreadyPaired,
    NotAcceptable,
    NotPairing,
    PairingCodeRateLimited,
    PairingCodeRefused,
    PairingLinkNotFound,
    PaymentRequired,
    QrNotReady,
    SessionQuarantined,
    SidecarGone,
    SidecarUnavailable,
)
from orchestrator.domain.pairing_link import PairingLink
from orchestrator.domain.tenant import Scope
from orchestrator.services.connections import Qr
from orchestrator.services.events import optional_timestamp, remaining_seconds, timestamp
from orchestrator.wire import pairing as wire
from orchestrator.wire.pages import Page

LINK_ID = re.compile(r"[1-9][0-9]{0,17}")


async def qr(request: web.Request) -> web.Response:
    """The QR code that a phone accepts now, in the format that Accept prefers; JSON without a preference."""
    draw = _FORMATS[preferred_format(request.headers.get("Accept", "*/*"), _FORMATS)]
    shown = await request.app[SERVICES].pairing.qr(request[TENANT], session_id(request))
    response = draw(shown)
    # A cached QR code is a dead one.
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    response.headers["X-QR-Expires-At"] = timestamp(shown.expires_at)
    return response


async def pairing_code(request: web.Request) -> web.Response:
    body = await read_json(request, wire.RequestPairingCode)
    code = await request.app[SERVICES].pairing.code(request[TENANT], session_id(request), body.phone)
    left = remaining_seconds(code.expires_at)
    return json_response(
        wire.PairingCode(pairing_code=code.code, expires_at=timestamp(code.expires_at), remaining_seconds=left)
    )


async def progress(request: web.Request) -> web.Response:
    found = await request.app[SERVICES].pairing.progress(request[TENANT], session_id(request))
    shown = found.code or found.qr
    answer = wire.PairingProgress(
        phase=found.phase.value,
        qr=None if found.qr is None else found.qr.qr,
        pairing_code=None if found.code is None else found.code.code,
        expires_at=None if shown is None else timestamp(shown.expires_at),
        rotated=found.qr is not None and found.qr.rotated,
        failure=found.failure,
    )
    response = json_response(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


async def create_link(request: web.Request) -> web.Response:
    body = await read_json(request, wire.CreatePairingLink)
    lives = timedelta(seconds=body.expires_in_seconds)
    links = request.app[SERVICES].pairing_links
    new = await links.create(request[TENANT], session_id(request), requested_by=body.requested_by, lives=lives)
    url = f"{public_url(request)}/pair/{new.token}"
    return json_response(wire.NewPairingLink(**_shown_link(new.link), url=url), status=201)


async def list_links(request: web.Request) -> web.Response:
    page = read_query(request, Page)
    found = await request.app[SERVICES].pairing_links.page(
        request[TENANT], session_id(request), before=begins_after(page, Number), most=page.limit + 1
    )
    links, next_cursor = cut(found, page, lambda link: link.link_id)
    shown = [wire.PairingLink(**_shown_link(link)) for link in links]
    return json_response(wire.PairingLinks(pairing_links=shown, next_cursor=next_cursor))


async def revoke_link(request: web.Request) -> web.Response:
    name = request.match_info["link_id"]
    if not LINK_ID.fullmatch(name):
        raise PairingLinkNotFound
    await request.app[SERVICES].pairing_links.revoke(request[TENANT], session_id(request), int(name))
    return web.Response(status=204)


def public_url(request: web.Request) -> str:
    """Where browsers reach this service: the setting, or else where this request came to."""
    if (url := request.app[PUBLIC_URL]) is not None:
        return url
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
    return f"{'https' if scheme == 'https' else 'http'}://{request.host}"


def _shown_link(link: PairingLink) -> dict[str, Any]:
    return {
        "link_id": link.link_id,
        "requested_by": link.requested_by,
        "created_at": timestamp(link.created_at),
        "expires_at": timestamp(link.expires_at),
        "opened_at": optional_timestamp(link.opened_at),
        "used_at": optional_timestamp(link.used_at),
        "revoked_at": optional_timestamp(link.revoked_at),
    }


def _json(shown: Qr) -> web.Response:
    return json_response(
        wire.Qr(
            qr=shown.qr,
            expires_at=timestamp(shown.expires_at),
            remaining_seconds=remaining_seconds(shown.expires_at),
            rotated=shown.rotated,
        )
    )


def _png(shown: Qr) -> web.Response:
    return web.Response(body=qr_codes.picture(shown.qr, "png"), content_type="image/png")


def _svg(shown: Qr) -> web.Response:
    return web.Response(body=qr_codes.picture(shown.qr, "svg"), content_type="image/svg+xml")


def _text(shown: Qr) -> web.Response:
    return web.Response(text=qr_codes.terminal(shown.qr), content_type="text/plain", charset="utf-8")


_FORMATS: Mapping[str, Callable[[Qr], web.Response]] = {
    "application/json": _json,
    "image/png": _png,
    "image/svg+xml": _svg,
    "text/plain": _text,
}


_CONFLICTS = (AlreadyPaired, NotPairing, SessionQuarantined, PaymentRequired)

_LINKS = "/v1/sessions/{session_id}/pairing-links"
_EXAMPLE_LINK: Mapping[str, Any] = {
    "link_id": 7,
    "requested_by": "Loja do João",
    "created_at": "2026-11-27T01:02:03.456Z",
    "expires_at": "2026-11-27T02:02:03.456Z",
    "opened_at": None,
    "used_at": None,
    "revoked_at": None,
}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/qr",
        handler=qr,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="Show the QR code that a phone accepts now, in the format that Accept prefers.",
        details="Waits up to 10 s for the first one. A QR code lives 60 s, the following ones 20 s each; after the sixth the "
        "attempt is over, and the session stops.",
        gives=wire.Qr,
        answer_types=("image/png", "image/svg+xml", "text/plain"),
        errors=(*_CONFLICTS, QrNotReady, NotAcceptable),
        example_answer=wire.Qr(
            qr="2@rXvY4...,1", expires_at="2026-11-27T01:02:03.456Z", remaining_seconds=17.3, rotated=False
        ),
    ),
    Operation(
        method="POST",
        path="/v1/sessions/{session_id}/pairing-code",
        handler=pairing_code,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="Ask for a code to be typed on the phone, instead of a QR code to be scanned.",
        takes=wire.RequestPairingCode,
        gives=wire.PairingCode,
        details="Within a minute it is the same code for the same phone; it ends with the pairing attempt, at most 200 s after "
        "that began. When WhatsApp refuses it, a fresh QR code follows by itself.",
        errors=(*_CONFLICTS, PairingCodeRefused, PairingCodeRateLimited, SidecarUnavailable, SidecarGone),
        example=wire.RequestPairingCode(phone="5511999990000"),
        example_answer=wire.PairingCode(
            pairing_code="ABCD-EFGH", expires_at="2026-11-27T01:02:03.456Z", remaining_seconds=183.2
        ),
    ),
    Operation(
        method="GET",
        path="/v1/sessions/{session_id}/pairing",
        handler=progress,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="Show how far the linking of a session is, with what a phone accepts now; waits for nothing.",
        gives=wire.PairingProgress,
        example_answer=wire.PairingProgress(
            phase="scan",
            qr="2@rXvY4...,1",
            pairing_code=None,
            expires_at="2026-11-27T01:02:03.456Z",
            rotated=False,
            failure=None,
        ),
        polled=True,
    ),
    Operation(
        method="POST",
        path=_LINKS,
        handler=create_link,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="Make a link to a page on which whoever holds the phone links the session.",
        details="The page shows the live QR code or a code, gives no other right, and opens in one browser only. A session that "
        "is linked needs none: begin a new pairing first.",
        takes=wire.CreatePairingLink,
        gives=wire.NewPairingLink,
        status=201,
        errors=(AlreadyPaired,),
        anywhere=True,
        example=wire.CreatePairingLink(requested_by="Loja do João"),
        example_answer=wire.NewPairingLink(**_EXAMPLE_LINK, url="https://example.com/pair/VZkq3..."),
    ),
    Operation(
        method="GET",
        path=_LINKS,
        handler=list_links,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="List the session's pairing links, newest first, for 30 days after their end.",
        query=Page,
        gives=wire.PairingLinks,
        anywhere=True,
        example_answer=wire.PairingLinks(pairing_links=[wire.PairingLink(**_EXAMPLE_LINK)], next_cursor=None),
    ),
    Operation(
        method="DELETE",
        path=f"{_LINKS}/{{link_id}}",
        handler=revoke_link,
        scope=Scope.MANAGE,
        tag="Pairing",
        summary="Revoke a pairing link: its page is gone at once.",
        status=204,
        errors=(PairingLinkNotFound,),
        anywhere=True,
    ),
)
