"""Which of supervisord's events are told, when, and that they reach Telegram without the bot."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.bot.alert_listener import Failing, listen
from orchestrator.config import Settings


def test_a_failure_is_told_once_and_its_end() -> None:
    now = [0.0]
    failing = Failing(lambda: now[0])
    told = [
        failing.event(f"PROCESS_STATE_{name}", "bot", expected=expected)
        for name, expected in (
            ("RUNNING", True),
            ("EXITED", True),
            ("EXITED", False),
            ("BACKOFF", True),
            ("BACKOFF", True),
            ("FATAL", True),
            ("FATAL", True),
            ("RUNNING", True),
            ("RUNNING", True),
        )
    ]
    assert told == [None, None, "EXITED", None, None, "FATAL", None, "RUNNING", None]


def test_what_goes_on_failing_is_told_again_after_a_while() -> None:
    now = [0.0]
    failing = Failing(lambda: now[0])
    assert failing.event("PROCESS_STATE_BACKOFF", "bot", expected=True) == "BACKOFF"
    now[0] = 601.0
    assert failing.event("PROCESS_STATE_BACKOFF", "bot", expected=True) == "BACKOFF"
    assert failing.event("PROCESS_STATE_BACKOFF", "baileys", expected=True) == "BACKOFF"


@pytest.fixture
def received() -> Iterator[tuple[str, list[tuple[str, dict[str, object]]]]]:
    seen: list[tuple[str, dict[str, object]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_operator_is_written_to_in_every_language(
    received: tuple[str, list[tuple[str, dict[str, object]]]],
) -> None:
    url, seen = received
    payload = "processname:baileys groupname:baileys from_state:STARTING tries:3"
    header = (
        f"ver:3.0 server:supervisor serial:1 pool:x poolserial:1 eventname:PROCESS_STATE_BACKOFF len:{len(payload)}\n"
    )
    answers = io.StringIO()
    settings = Settings(bot_token="1:x", admin_chat_id=7, telegram_api_url=url)
    assert listen(settings, io.StringIO(header + payload), answers) == 0
    assert answers.getvalue() == "READY\nRESULT 2\nOKREADY\n"
    ((path, body),) = seen
    assert (path, body["chat_id"]) == ("/bot1:x/sendMessage", 7)
    assert "The process baileys fails (BACKOFF)" in str(body["text"])
    assert "O processo baileys falha (BACKOFF)" in str(body["text"])
