"""Fixtures for all tests."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer import multi_file
from tests.support.portable_states import BaileysState, make_folder
from tests.support.postgres import fresh_database, server_url, short_folder
from tests.support.processes import PATIENCE

# `nohup make test &` starts us with these ignored, and whatever the tests start would inherit that and outlast them.
for _number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The time that a test has grows with its deadlines."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line with a figure, which is shown at the end of the run; no test fails by it."""
    return lambda line: record_property("measured", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests have measured."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    lines = [(one.nodeid, line) for one in reports for name, line in one.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured")
        for test, line in lines:
            terminalreporter.write_line(f"{test.rpartition('/')[2]}: {line}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a real PostgreSQL server, shared by all tests that don't stop it."""
    with server_url() as url:
        yield url


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of the test's own."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary folder with a name short enough for sockets."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def paired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BaileysState]:
    """A folder that Baileys made for a paired account, and what Baileys says is in it. Tests only read it."""
    folder = tmp_path_factory.mktemp("paired") / "folder"
    return folder, make_folder(folder)


@pytest.fixture
def state(paired: tuple[Path, BaileysState]) -> PortableState:
    """The auth state in that folder."""
    return multi_file.read(paired[0])
