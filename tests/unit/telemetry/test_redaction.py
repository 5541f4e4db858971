"""Secrets of every kind that this service meets, in log lines as they are really written."""

import io
import json
import sys
from pathlib import Path

import pytest
import structlog

from orchestrator.telemetry.logs import configure_logging
from orchestrator.telemetry.redaction import HIDDEN, Redaction

DATABASE_PASSWORD = "pa55%20w0rd"


#: The sidecar's log is held to the same.
CASES = json.loads(Path("tests/contract/redaction.json").read_text())


@pytest.mark.parametrize("case", CASES["hidden"], ids=lambda case: case["text"])
def test_no_secret_is_left_in_a_sentence(case: dict[str, str]) -> None:
    secret, redacted = case["secret"], Redaction().text(case["text"])
    assert secret not in redacted
    assert not secret.isdigit() or secret[:-4] not in redacted
    assert redacted == case["shown"]


@pytest.mark.parametrize("text", CASES["kept"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redaction().text(text) == text


def test_fields_that_hold_secrets_are_hidden_whatever_they_look_like() -> None:
    assert Redaction()(None, "info", CASES["fields"]["given"]) == CASES["fields"]["shown"]


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
