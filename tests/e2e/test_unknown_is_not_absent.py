"""Creds that can't be read never lead to a QR code or a new identity."""

import time
from pathlib import Path

import psycopg
import pytest

from orchestrator.launcher.embedded_postgres import EmbeddedPostgres
from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.postgres import short_folder
from tests.support.processes import PATIENCE
from tests.support.tree import Tree, tree
from tests.support.waiting import eventually

PHONE = "5511999990001"
KEYS = "5e" * 32


async def no_new_identity(whatsapp: FakeWhatsApp) -> None:
    counts = await whatsapp.counts()
    assert (counts["registrations"], counts["qr_shown"]) == (1, 1)


async def events_of_failed_loads(product: Tree, number: int) -> None:
    """Wait until the sidecar has tried to load the state, failed, and said so, ``number`` times."""

    async def tried() -> bool:
        # Not line by line: supervisord may put two processes' lines into one.
        return product.child.output.count('"event":"auth_state_unknown"') >= number

    await eventually(tried, 60, f"{number} failed loads")


async def nothing_waits(product: Tree) -> None:
    """Wait until the writes after a login are through, and not only in a pause between two of them."""
    since = time.monotonic()

    async def for_a_second() -> bool:
        nonlocal since
        if product.journal_bytes:
            since = time.monotonic()
        return time.monotonic() - since > PATIENCE

    await eventually(for_a_second, 30, "the journal to be empty for a second")


@pytest.mark.timeout(150)
async def test_a_creds_read_that_fails_shows_no_qr_and_heals(
    short_path: Path, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    """First the database refuses the read, then it doesn't answer in time."""
    failures = [
        ("ALTER TABLE creds RENAME TO creds_away", "ALTER TABLE creds_away RENAME TO creds"),
        ("BEGIN; LOCK TABLE creds IN ACCESS EXCLUSIVE MODE", "COMMIT"),
    ]
    # Short calls, so that the failing ones are over soon.
    environ = {**whatsapp.environ, "DATABASE_URL": database_url, "BACKUP_TIMEOUT_SECONDS": "1", "BACKUP_ATTEMPTS": "1"}
    async with (
        tree(short_path / "data", short_path / "log", environ) as product,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        await product.ready()
        await product.pair("loja-1", PHONE, whatsapp)
        for number, (breaks, heals) in enumerate(failures):
            opened = (await product.session("loja-1"))["last_open_at"]
            await nothing_waits(product)
            await connection.execute(breaks)
            await product.kill("baileys")
            await events_of_failed_loads(product, 2 * (number + 1))
            assert (await product.session("loja-1"))["connection_state"] in ("starting", "connecting", "waiting_retry")
            refused = await product.call("GET", "/v1/sessions/loja-1/qr")
            assert (refused.status, refused.code) == (409, "already_paired")
            await no_new_identity(whatsapp)
            await connection.execute(heals)
            await product.open("loja-1", after=opened)
    await no_new_identity(whatsapp)


@pytest.mark.timeout(150)
async def test_a_damaged_state_is_quarantined_with_an_alert_and_others_run_on(
    short_path: Path, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    flip = "set_byte(value, octet_length(value) - 1, get_byte(value, octet_length(value) - 1) # 1)"
    damages = {
        "flipped": f"UPDATE creds SET value = {flip}",
        "garbage": "UPDATE creds SET value = 'garbage'",
        "missing": "DELETE FROM creds",
        "flipped-key": f"UPDATE signal_keys SET value = {flip}",
    }
    environ = {**whatsapp.environ, "DATABASE_URL": database_url, "SESSION_ENCRYPTION_KEYS": KEYS}
    environ["BACKUP_INITIAL_DELAY_SECONDS"] = "3600"  # a verification would find the damage before the restart does
    async with tree(short_path / "data", short_path / "log", environ) as product:
        await product.ready()
        for number, name in enumerate([*damages, "healthy"]):
            await product.pair(name, f"551199999000{number}", whatsapp)
        opened = (await product.session("healthy"))["last_open_at"]
        await product.stored()  # what the journal still had would heal the damage
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            for name, damage in damages.items():
                session = f" WHERE session_ref = (SELECT session_ref FROM sessions WHERE session_id = '{name}')"
                await connection.execute((damage + session).encode())
        async with listening(product) as heard:
            await product.kill("baileys")
            for name in damages:
                alert = await heard.wait_for("session.alert", 30, session_id=name, alert="quarantined")
                assert alert["by"] == "corrupt"
                session = await product.session(name)
                assert session["connection_state"] == "quarantined"
                assert session["reason"]
        await product.open("healthy", after=opened)
        counts = await whatsapp.counts()
        assert (counts["registrations"], counts["qr_shown"]) == (len(damages) + 1, len(damages) + 1)
        assert (await product.send("healthy", await whatsapp.contact(), "oi")).status == 201


@pytest.mark.timeout(150)
async def test_a_database_that_is_down_at_start_is_waited_for(short_path: Path, whatsapp: FakeWhatsApp) -> None:
    with short_folder("pg") as folder:
        server = EmbeddedPostgres(folder)
        server.prepare()
        environ = {**whatsapp.environ, "DATABASE_URL": server.url}
        token = "a-token-for-the-operator"
        with server.running(log=folder / "log"):
            async with tree(short_path / "data", short_path / "log", environ, token=token) as product:
                await product.ready()
                await product.pair("loja-1", PHONE, whatsapp)
                product.kill_everything()
        async with tree(short_path / "empty", short_path / "log2", environ, token=token) as product:
            product.child.wait_for_output("waiting for the database")
            assert (await product.call("GET", "/healthz")).status == 200
            assert (await product.call("GET", "/readyz")).status == 503
            refused = await product.call("GET", "/v1/sessions/loja-1/qr")
            assert (refused.status, refused.code) == (503, "database_unavailable")
            await no_new_identity(whatsapp)
            with server.running(log=folder / "log2"):
                await product.open("loja-1")
                await no_new_identity(whatsapp)
                assert await product.terminate() == 0
