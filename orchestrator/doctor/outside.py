"""What is outside: Telegram, Mercado Pago, our own public address, WhatsApp, where backups go."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from orchestrator.config import Settings
from orchestrator.doctor.finding import Finding, fail, ok, warn
from orchestrator.doctor.machine import serves
from orchestrator.domain.errors import BackupRefused
from orchestrator.transfer.backup_places import place

_MERCADOPAGO_API_URL = "https://api.mercadopago.com"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def examine(settings: Settings) -> list[Finding]:
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        found = await asyncio.gather(
            telegram(http, settings),
            payments(http, settings),
            public_address(http, settings),
            whatsapp(settings.whatsapp_web_url),
            backups(http, settings),
        )
    return [finding for findings in found for finding in findings]


async def backups(http: aiohttp.ClientSession, settings: Settings) -> list[Finding]:
    """Whether copies of the database are made, and can be kept where they should be: one is, for a moment."""
    hours, target = settings.backup_schedule_hours, settings.backup_target
    if hours is None or target is None:
        return [warn("backup", "backup_unset")]
    name = f"doctor-{uuid4().hex}"
    try:
        where = place(target, settings.s3_access, http)
        await where.names()
        await where.write(name, _a_few_bytes())
        await where.remove(name)
    except (BackupRefused, *_FAILURES) as error:
        reason = error.message if isinstance(error, BackupRefused) else _reason(error)
        return [fail("backup", "backup_refused", target=target, reason=reason)]
    return [ok("backup", "backup_set", hours=hours, target=target)]


async def _a_few_bytes() -> AsyncIterator[bytes]:
    yield b"orchestrator doctor was here"


async def telegram(http: aiohttp.ClientSession, settings: Settings) -> list[Finding]:
    if settings.bot_token is None:
        return [ok("telegram", "telegram_unset")]
    base = f"{settings.telegram_api_url}/bot{settings.bot_token}"
    try:
        status, me = await _json(http, f"{base}/getMe")
        if status in (401, 404):  # 404: what isn't even shaped like a token
            return [fail("telegram", "telegram_invalid")]
        if status != 200:
            return [fail("telegram", "telegram_unreachable", reason=f"it answers {status}")]
        findings = [ok("telegram", "telegram_valid", name=me["result"]["username"])]
        _, webhook = await _json(http, f"{base}/getWebhookInfo")
        url = str((webhook.get("result") or {}).get("url") or "")
        ours = settings.telegram_mode == "webhook" and url.startswith(settings.public_url or " ")
        if url and not ours:
            findings.append(warn("telegram.webhook", "telegram_webhook"))
        if settings.admin_chat_id is None:
            return [*findings, warn("telegram.chat", "chat_unset")]
        status, _ = await _json(http, f"{base}/getChat", params={"chat_id": str(settings.admin_chat_id)})
    except _FAILURES as error:
        return [fail("telegram", "telegram_unreachable", reason=_reason(error))]
    text, verdict = ("chat_found", ok) if status == 200 else ("chat_missing", fail)
    return [*findings, verdict("telegram.chat", text, chat=settings.admin_chat_id)]


async def payments(http: aiohttp.ClientSession, settings: Settings) -> list[Finding]:
    token = settings.mercadopago_access_token
    if token is None:
        return [ok("payments", "payments_unset")]
    try:
        status, me = await _json(
            http,
            f"{settings.mercadopago_api_url or _MERCADOPAGO_API_URL}/users/me",
            headers={"Authorization": f"Bearer {token}"},
        )
    except _FAILURES as error:
        return [fail("payments", "payments_unreachable", reason=_reason(error))]
    if status in (400, 401, 403):
        return [fail("payments", "payments_invalid")]
    if status != 200:
        return [fail("payments", "payments_unreachable", reason=f"it answers {status}")]
    findings = [ok("payments", "payments_valid", account=me.get("id"), site=me.get("site_id"))]
    if token.startswith("TEST-"):
        findings.append(warn("payments.mode", "payments_test"))
    return findings


async def public_address(http: aiohttp.ClientSession, settings: Settings) -> list[Finding]:
    url = settings.public_url
    if url is None:
        return [warn("public_url", "public_unset")]
    if not await asyncio.to_thread(serves, settings.port):
        return [warn("public_url", "public_not_yet")]
    try:
        status, body = await _json(http, f"{url}/healthz")
        reason = f"it answers {status}"
    except _FAILURES as error:
        status, body, reason = 0, {}, _reason(error)
    if status != 200 or body.get("status") != "ok":
        return [fail("public_url", "public_wrong", reason=reason)]
    if not url.startswith("https://"):
        return [warn("public_url", "public_plain")]
    return [ok("public_url", "public_reached")]


async def whatsapp(url: str) -> list[Finding]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(_TIMEOUT.total):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError) as error:
        return [fail("whatsapp", "whatsapp_unreachable", host=host, port=port, reason=_reason(error))]
    return [ok("whatsapp", "whatsapp_reached")]


_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError)


async def _json(http: aiohttp.ClientSession, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    async with http.get(url, **options) as response:
        try:
            body = await response.json(content_type=None)
        except ValueError:
            body = {}
        return response.status, body if isinstance(body, dict) else {}


def _reason(error: BaseException) -> str:
    """Without the address, in which Telegram has the token."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__ if number is None else os.strerror(number)
