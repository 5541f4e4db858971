"""The database of the first release: it migrates, and its sessions reconnect."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import psycopg
import pytest

from orchestrator.store.database import sqlalchemy_url
from orchestrator.store.sealing import Sealer, place_of
from tests.support.event_stream import listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.postgres import fresh_database
from tests.support.side_by_side import NOTHING_WRONG, PHONE, RATE, SESSION, sender, talk_of
from tests.support.traffic import verdict
from tests.support.tree import PROJECT, tree
from tests.support.waiting import eventually

#: What the first release stored, by table: all its columns; and where it was sealed: column, kind, name.
COLUMNS = {
    "sessions": "session_ref, tenant_id, session_id, desired_state, connection_state, reason, generation, last_open_at, deleted_at, created_at",
    "generations": "session_ref, generation, paired_at, account_jid, account_lid, set_aside_at, set_aside_by, set_aside_reason, created_at",
    "leases": "session_ref, owner, epoch, expires_at, last_backup_at",
    "creds": "session_ref, generation, value, written_at",
    "signal_keys": "session_ref, generation, key_type, key_id, value, written_at",
    "sent_messages": "session_ref, message_id, message, generation, sent_at",
    "api_tokens": "digest, name, created_at",
}
SEALED: dict[str, Callable[[dict[str, Any]], tuple[str, str, str]]] = {
    "creds": lambda row: ("value", "creds", ""),
    "signal_keys": lambda row: ("value", row["key_type"], row["key_id"]),
    "sent_messages": lambda row: ("message", "sent-message", row["message_id"]),
}


@pytest.mark.timeout(180)
async def test_the_first_release_s_database_migrates_and_its_sessions_reconnect(
    short_path: Path, postgres_server: str, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    token = "a-token-for-the-operator"
    with fresh_database(postgres_server) as first_release:
        environ = {**whatsapp.environ, "DATABASE_URL": database_url}
        async with tree(short_path / "data", short_path / "log", environ, token=token) as ours:
            await ours.ready()
            await ours.pair(SESSION, PHONE, whatsapp)
            talk = await talk_of(whatsapp)
            await talk.exchange(sender(ours), 20, RATE * 5)
            assert await verdict(talk, 30) == NOTHING_WRONG
            opened_at = (await ours.session(SESSION))["last_open_at"]
            ours.kill_everything()
        copy_as_the_first_release_had_it(database_url, first_release)

        environ = {**whatsapp.environ, "DATABASE_URL": first_release}
        async with tree(short_path / "new", short_path / "log2", environ, token=token) as ours:
            await ours.ready()
            await ours.open(SESSION, after=opened_at)
            async with listening(ours) as heard:
                await talk.exchange(sender(ours), 20, RATE * 5)
                assert await verdict(talk, 30) == NOTHING_WRONG

                async def all_told() -> bool:
                    return len({event["message_id"] for event in heard.of("message.received")}) == 20

                await eventually(all_told, what="all messages to be told")
            assert await ours.terminate() == 0
        with psycopg.connect(first_release) as connection:
            partitions = connection.execute(
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'signal_keys'::regclass"
            )
            assert partitions.fetchone() == (8,)


def copy_as_the_first_release_had_it(source: str, target: str) -> None:
    """The rows of ``source`` in the schema of revision 0001, and the values in its only unsealed form: 0x00, checksum, text."""
    config = alembic.config.Config(PROJECT / "alembic.ini")
    config.set_main_option("script_location", str(PROJECT / "alembic"))
    config.attributes["url"] = sqlalchemy_url(target)
    alembic.command.upgrade(config, "0001")
    with psycopg.connect(source) as old, psycopg.connect(target) as new:
        tenants: dict[int, str] = dict(old.execute("SELECT session_ref, tenant_id FROM sessions").fetchall())
        for table, columns in COLUMNS.items():
            # In the first release each lease had a term; this version's last as long as their owner.
            given = columns.replace("expires_at", "now() + interval '10 seconds'")
            rows = old.execute(f"SELECT {given} FROM {table}").fetchall()
            if table in SEALED:
                rows = [unsealed(tenants, table, dict(zip(columns.split(", "), row, strict=True))) for row in rows]
            marks = ", ".join(["%s"] * len(columns.split(", ")))
            overriding = "OVERRIDING SYSTEM VALUE" if table == "sessions" else ""
            with new.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {table} ({columns}) {overriding} VALUES ({marks})", rows)
        new.execute(
            "SELECT setval(pg_get_serial_sequence('sessions', 'session_ref'), (SELECT max(session_ref) FROM sessions))"
        )


def unsealed(tenants: dict[int, str], table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    column, kind, name = SEALED[table](row)
    place = place_of(tenants[row["session_ref"]], row["session_ref"], row["generation"], kind, name)
    value = Sealer(()).open(bytes(row[column]), place)
    row[column] = b"\0" + hashlib.blake2b(value, digest_size=8, key=hashlib.sha256(place).digest()).digest() + value
    return tuple(row.values())
