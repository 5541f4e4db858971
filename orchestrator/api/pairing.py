"""Pairing over HTTP: the QR code as data or picture, and the pairing code."""

import io
from collections.abc import Callable, Mapping

import segno
from aiohttp import web

from orchestrator.api.bodies import json_response, read_json
from orchestrator.api.keys import SERVICES, TENANT
from orchestrator.api.operations import Operation
from orchestrator.api.sessions import session_id
from orchestrator.domain.errors import (
    AlreadyPaired,
    NotAcceptable,
    NotPairing,
    QrNotReady,
    SessionQuarantined,
    SidecarGone,
    SidecarUnavailable,
)
from orchestrator.domain.tenant import Scope
from orchestrator.services.connections import Qr
from orchestrator.services.events import timestamp
from orchestrator.wire import pairing as wire


async def qr(request: web.Request) -> web.Response:
    """The QR code that a phone accepts now, in the format that Accept prefers; JSON without a preference."""
    draw = _FORMATS[preferred_format(request.headers.get("Accept", "*/*"))]
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
    return json_response(wire.PairingCode(pairing_code=code))


def _json(shown: Qr) -> web.Response:
    return json_response(wire.Qr(qr=shown.qr, expires_at=timestamp(shown.expires_at)))


def _png(shown: Qr) -> web.Response:
    return web.Response(body=_drawn(shown, "png"), content_type="image/png")


def _svg(shown: Qr) -> web.Response:
    return web.Response(body=_drawn(shown, "svg"), content_type="image/svg+xml")


def _text(shown: Qr) -> web.Response:
    out = io.StringIO()
    segno.make_qr(shown.qr, error="l").terminal(out, compact=True)
    return web.Response(text=out.getvalue(), content_type="text/plain", charset="utf-8")


def _drawn(shown: Qr, kind: str) -> bytes:
    out = io.BytesIO()
    segno.make_qr(shown.qr, error="l").save(out, kind=kind, scale=8, light="white")
    return out.getvalue()


_FORMATS: Mapping[str, Callable[[Qr], web.Response]] = {
    "application/json": _json,
    "image/png": _png,
    "image/svg+xml": _svg,
    "text/plain": _text,
}


def preferred_format(accept: str) -> str:
    """The first of our formats that the Accept header prefers most (RFC 9110 section 12.5.1), or ``NotAcceptable``."""
    wanted: list[tuple[float, str]] = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wanted.append((float(quality), media_range))
        except ValueError:
            continue
    for preference, media_range in sorted(wanted, key=lambda entry: -entry[0]):
        for name in _FORMATS:
            if preference > 0 and media_range in (name, "*/*", name.split("/")[0] + "/*"):
                return name
    raise NotAcceptable


_CONFLICTS = (AlreadyPaired, NotPairing, SessionQuarantined)

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
        example_answer=wire.Qr(qr="2@rXvY4...,1", expires_at="2026-11-27T01:02:03.456Z"),
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
        errors=(*_CONFLICTS, SidecarUnavailable, SidecarGone),
        example=wire.RequestPairingCode(phone="5511999990000"),
        example_answer=wire.PairingCode(pairing_code="ABCD-EFGH"),
    ),
)
