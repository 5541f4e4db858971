"""Secrets of every kind that this service meets, in log lines as they are really written."""

import io
import json
import sys

import pytest
import structlog

from orchestrator.telemetry.logs import configure_logging
from orchestrator.telemetry.redaction import HIDDEN, Redaction

DATABASE_PASSWORD = "pa55%20w0rd"
BOT_TOKEN = "8123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
MERCADOPAGO = "APP_USR-6934588586838432-061216-ffd6cd2e9a0f4f31a2-241983636"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (DATABASE_PASSWORD, f"connection to postgresql://bo:{DATABASE_PASSWORD}@db.internal:5432/railway failed"),
        ("swordfish", "could not connect with host=db password=swordfish dbname=railway"),
        (BOT_TOKEN, f"POST /bot{BOT_TOKEN}/sendMessage: 401"),
        (MERCADOPAGO, f"the access token {MERCADOPAGO} was refused"),
        (
            "bo_aYkt09B8W2dCrSNwsf2N5ZAjEbk7HKHUt8jqJpaZFKc",
            "token bo_aYkt09B8W2dCrSNwsf2N5ZAjEbk7HKHUt8jqJpaZFKc is unknown",
        ),
        (
            "NJxt_Z0VmbGtQWDvsVNE0nkXZtPiJD5Nm72wibzrMx8",
            "Authorization: Bearer NJxt_Z0VmbGtQWDvsVNE0nkXZtPiJD5Nm72wibzrMx8",
        ),
        ("iRU0aAFVILoeD9exsuOOvuTzeWfuaj5c", "GET /pair/iRU0aAFVILoeD9exsuOOvuTzeWfuaj5c 200"),
        (
            "d2f858bd0541b483f857a232f802206a8320b56ef1728ad0327238bafeedbd76",
            "INTERNAL_TOKEN is d2f858bd0541b483f857a232f802206a8320b56ef1728ad0327238bafeedbd76",
        ),
        ("Vlzj9G9UWdwVzxUaG4nRhiJxTsr8ea-ZBtH-jhMGBTk", "admin token Vlzj9G9UWdwVzxUaG4nRhiJxTsr8ea-ZBtH-jhMGBTk"),
        ("5511987654321", "5511987654321 isn't on WhatsApp"),
        ("5511987654321", "the number +5511987654321 was refused"),
        ("5511987654321", "me is 5511987654321:12@s.whatsapp.net now"),
        ("184467440737095", "sender 184467440737095@lid"),
        ("120363041234567890", "group 120363041234567890@g.us"),
        ("user:hunter22", "proxy http://user:hunter22@10.0.0.1:3128 doesn't answer"),
    ],
)
def test_no_secret_is_left_in_a_sentence(secret: str, text: str) -> None:
    redacted = Redaction().text(text)
    assert secret not in redacted
    assert not secret.isdigit() or secret[:-4] not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "lease taken",
        "2026-11-27T01:42:28.123456Z",
        "replica 5f92ab2d0c1e4b6f8a7c9d0e1f2a3b4c is silent",
        "3EB0C767D097B7C7D1A2 was sent",
        "took 1234567.891 ms in /v1/sessions/{session_id}/messages, 4096 bytes",
        "postgresql://db.internal:5432/railway",
        "Traceback (most recent call last): File 'orchestrator/store/auth_state_writer.py', line 298",
        "orchestrator.store.auth_state_writer.AuthStateWriter",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redaction().text(text) == text


def test_a_known_secret_is_hidden_in_any_form_of_value() -> None:
    redaction = Redaction(["correct-horse-battery"])
    event = {
        "event": "xcorrect-horse-batteryx",
        "list": ["a", {"inner": "correct-horse-battery"}],
        "error": ValueError("with correct-horse-battery"),
        "bytes": b"correct-horse-battery",
        "admin_token": "short",
        "qr": "2@abc,def",
        "number": 5511987654321,
        "open": True,
    }
    redacted = redaction(None, "info", event)
    assert "correct-horse" not in str(redacted)
    assert redacted["admin_token"] == redacted["qr"] == redacted["bytes"] == HIDDEN
    assert redacted["open"] is True
    assert redacted["list"][0] == "a"


def test_lines_are_json_with_what_belongs_to_the_request_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    configure_logging("info", ["the-internal-token"])
    log = structlog.get_logger()
    try:
        with structlog.contextvars.bound_contextvars(request_id="r-1"):
            try:
                raise ValueError(f"no connection to postgresql://bo:{DATABASE_PASSWORD}@db/x with the-internal-token")
            except ValueError:
                log.exception("request failed", session_id="loja-1", jid="5511987654321@s.whatsapp.net")
    finally:
        structlog.reset_defaults()
    line = json.loads(output.getvalue())
    assert line["event"] == "request failed"
    assert (line["request_id"], line["session_id"]) == ("r-1", "loja-1")
    assert line["jid"] == "***4321@s.whatsapp.net"
    assert "ValueError" in line["exception"]
    assert DATABASE_PASSWORD not in output.getvalue()
    assert "the-internal-token" not in output.getvalue()
