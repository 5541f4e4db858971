"""A session that lived elsewhere goes on here: nothing is paired, and the next message decrypts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.transfer import multi_file
from tests.support import peer_tables
from tests.support.baseline import baseline
from tests.support.command import run
from tests.support.event_stream import Heard, listening
from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.portable_states import BaileysState
from tests.support.postgres import fresh_database
from tests.support.side_by_side import PHONE
from tests.support.tree import Tree, tree


@dataclass
class Moving:
    """One account, moved from place to place, and the contact who goes on writing to it."""

    ours: Tree
    heard: Heard
    whatsapp: FakeWhatsApp
    contact: str
    environ: Mapping[str, str]

    async def command(self, *arguments: str) -> None:
        passphrase = "correct horse battery staple"
        ran = await run("sessions", *arguments, PASSPHRASE=passphrase, **self.environ)
        assert ran.code == 0, ran.complaints

    async def moves_in_as(self, name: str, *arguments: str) -> None:
        """Import it under this name; it opens without a QR, hears the contact and is heard."""
        await self.command("import", *arguments, "--session-id", name, "--start")
        await self.ours.open(name)
        sent = await self.whatsapp.send(self.contact, PHONE, f"to {name}")
        event = await self.heard.wait_for("message.received", message_id=sent)
        assert (event["session_id"], event["text"]) == (name, f"to {name}")
        answer = await self.ours.send(name, self.contact, f"from {name}")
        assert answer.status == 201, answer.body
        assert (await self.whatsapp.idle(30, PHONE))["idle"]
        assert (await self.whatsapp.counts())["registrations"] == 1

    async def moves_out_of(self, name: str, folder: Path) -> BaileysState:
        """Stop it and export it for an unchanged Baileys; what is in the folder."""
        await self.command("export", name, "--stop", "--to", str(folder), "--format", "multi-file")
        state = multi_file.read(folder)
        return BaileysState(state.creds, dict(state.keys))


@pytest.mark.timeout(240)
async def test_a_session_moves_in_from_each_format_without_a_pairing(
    short_path: Path, postgres_server: str, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    async with baseline(short_path, whatsapp) as bot:
        await bot.pair(PHONE)
        contact = await whatsapp.contact()
        await whatsapp.send(contact, PHONE, "to the file store")
        assert await bot.send(contact, "from the file store")
        assert (await whatsapp.idle(30, PHONE))["idle"]
    with fresh_database(postgres_server) as elsewhere:
        environ = {
            "DATABASE_URL": database_url,
            "SESSION_ENCRYPTION_KEYS": "5e" * 32,
            "ELSEWHERE": elsewhere,
        }
        async with tree(short_path / "data", short_path / "tree-log", {**whatsapp.environ, **environ}) as ours:
            await ours.ready()
            async with listening(ours) as heard:
                moving = Moving(ours, heard, whatsapp, contact, environ)
                await moving.moves_in_as("from-multi-file", "--from", "multi-file", str(short_path / "auth"))

                sealed = ("--to", str(short_path / "archive"), "--passphrase-env", "PASSPHRASE")
                await moving.command("export", "from-multi-file", "--stop", *sealed)
                archive = ("--from", "archive", str(short_path / "archive"), "--passphrase-env", "PASSPHRASE")
                await moving.moves_in_as("from-archive", *archive)

                state = await moving.moves_out_of("from-archive", short_path / "1")
                peer_tables.fill_postgres_baileys(elsewhere, "loja", state)
                table = ("loja", "--source-url-env", "ELSEWHERE")
                await moving.moves_in_as("from-postgres-baileys", "--from", "postgres-baileys", *table)

                state = await moving.moves_out_of("from-postgres-baileys", short_path / "2")
                peer_tables.fill_keyv(elsewhere, "loja", state)
                await moving.moves_in_as("from-keyv", "--from", "keyv", *table)

                state = await moving.moves_out_of("from-keyv", short_path / "3")
                peer_tables.fill_waha(elsewhere, "loja", state)
                await moving.moves_in_as("from-waha", "--from", "waha", *table)

                state = await moving.moves_out_of("from-waha", short_path / "4")
                peer_tables.fill_evolution(elsewhere, "loja", "id-1", state.creds)
                (short_path / "keys.json").write_bytes(peer_tables.redis_hash(state.keys))
                evolution = (str(short_path / "keys.json"), "--source-url-env", "ELSEWHERE", "--instance", "loja")
                await moving.moves_in_as("from-evolution", "--from", "evolution", *evolution)

                await moving.moves_out_of("from-evolution", short_path / "out")
            assert await ours.terminate() == 0
    # And out again, to the unchanged Baileys that it came from.
    (short_path / "auth").rename(short_path / "as-it-was")
    (short_path / "out").rename(short_path / "auth")
    async with baseline(short_path, whatsapp) as bot:
        await bot.open()
        await whatsapp.send(contact, PHONE, "welcome back")
        assert await bot.send(contact, "back home")
        assert (await whatsapp.idle(30, PHONE))["idle"]
    assert (await whatsapp.counts())["registrations"] == 1
