"""The event listener's side of supervisord's protocol."""

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.launcher.process_watcher import watch


@pytest.fixture(autouse=True)
def restored_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def event(name: str, payload: str) -> str:
    return f"ver:3.0 server:supervisor serial:1 pool:w poolserial:1 eventname:{name} len:{len(payload)}\n{payload}"


def run(folder: Path, text: str) -> str:
    answers = io.StringIO()
    environ = {
        "SUPERVISOR_SOCKET": str(folder / "supervisor.sock"),
        "SUPERVISOR_SERVER_URL": f"unix://{folder}/supervisor.sock",
        "SUPERVISOR_PASSWORD": "x",
    }
    assert watch(environ, io.StringIO(text), answers) == 0
    return answers.getvalue()


# Nobody listens on the socket here, and supervisor's own client leaves it open then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_that_cannot_be_kept_alive_leaves_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = run(tmp_path, event("PROCESS_STATE_FATAL", "processname:baileys groupname:baileys from_state:BACKOFF"))
    assert answers == "READY\nRESULT 2\nOKREADY\n"
    assert "baileys" in (tmp_path / "failure").read_text()
    assert "baileys" in capsys.readouterr().err


def test_other_events_change_nothing(tmp_path: Path) -> None:
    run(
        tmp_path,
        event("PROCESS_STATE_EXITED", "processname:baileys groupname:baileys from_state:RUNNING expected:0 pid:1"),
    )
    assert not (tmp_path / "failure").exists()


def test_no_session_is_ended_because_the_bot_can_not_be_kept_alive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, event("PROCESS_STATE_FATAL", "processname:bot groupname:bot from_state:BACKOFF"))
    assert not (tmp_path / "failure").exists()
    assert "bot can't be kept alive" in capsys.readouterr().err
