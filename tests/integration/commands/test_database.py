"""Which database a command finds."""

from pathlib import Path

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from orchestrator.store.database import Database
from tests.support.command import run, stored
from tests.support.portable_states import BaileysState


async def test_a_command_reaches_the_embedded_postgres_of_a_running_service(
    short_path: Path, paired: tuple[Path, BaileysState]
) -> None:
    server = EmbeddedPostgres(short_path)
    server.prepare()
    command = ("sessions", "import", "--from", "multi-file", paired[0], "--session-id", "loja-1")
    with server.running():
        ran = await run(*command, DATA_DIR=str(short_path))
        assert (ran.code, ran.complaints) == (0, "")
        database = Database(server.url)
        assert (await stored(database, "loja-1")).keys == paired[1].keys
    ran = await run(*command, DATA_DIR=str(short_path))
    assert ran.code == 1
    assert "no service runs on" in ran.complaints
