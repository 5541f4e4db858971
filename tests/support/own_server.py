"""A PostgreSQL that one test may stop, start again and make hang."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.support.processes import descendants, kill_tree, stopped


class OwnServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres = EmbeddedPostgres(folder)
        self._postgres.prepare()
        self._running = contextlib.ExitStack()
        self._pid = 0

    @property
    def url(self) -> str:
        return self._postgres.url

    def start(self) -> None:
        """Returns when the server takes connections; what is left of one that was killed is ended first."""
        self._postgres.stop_leftovers()
        self._pid = self._running.enter_context(self._postgres.running(log=self._folder / "log")).pid

    def stop(self) -> None:
        """As a restart by its operator does: sessions are ended, nothing is lost, and connections are refused."""
        self._running.close()

    def kill(self) -> None:
        """SIGKILL the server and all of its processes; what it acknowledged is on its disk."""
        kill_tree(self._pid)
        self._running.close()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections stay, and nothing is answered."""
        with stopped([self._pid, *descendants(self._pid)]):
            yield


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[OwnServer]:
    folder.mkdir()
    folder.chmod(0o711)
    server = OwnServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
