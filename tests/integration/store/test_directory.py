from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.domain.directory import Change, Kind
from orchestrator.domain.errors import SessionNotFound
from orchestrator.services.directory import Directory
from orchestrator.store import directory as module
from orchestrator.store.database import Database
from orchestrator.store.directory import DirectoryStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore

ANA, BIA, GROUP = "5511900000001@s.whatsapp.net", "5511900000002@s.whatsapp.net", "120363@g.us"


@pytest.fixture
def store(database: Database) -> DirectoryStore:
    return DirectoryStore(database, Sealer([b"k" * 32]))


@pytest.fixture
async def ref(database: Database) -> int:
    return (await SessionStore(database).create("t", "s")).session_ref


def chat(ref: int, jid: str, generation: int = 1, **fields: Any) -> Change:
    return Change(ref, generation, Kind.CHAT, jid, fields)


def at(seconds: int) -> dict[str, Any]:
    return {"last_message": {"id": f"m{seconds}", "from_me": False, "participant": None, "timestamp": seconds}}


async def test_chats_come_with_the_newest_message_first_page_by_page_and_with_their_names(
    store: DirectoryStore, ref: int
) -> None:
    directory = Directory(store)
    assert await directory.chats("t", "s", after=None, most=10) == []
    await directory.learn(
        [
            chat(ref, ANA, unread_added=1, **at(100)),
            chat(ref, BIA, archived=True),
            chat(ref, GROUP, name="Equipe", **at(300)),
            Change(ref, 1, Kind.CONTACT, ANA, {"push_name": "Aninha", "name": "Ana Souza", "lid": "1@lid"}),
            Change(ref, 1, Kind.CONTACT, BIA, {"push_name": "Bia"}),
        ]
    )
    await directory.learn([chat(ref, ANA, unread_added=2, **at(200))])
    first = await directory.chats("t", "s", after=None, most=2)
    assert [(c.entry.entry_id, c.name) for c in first] == [(GROUP, "Equipe"), (ANA, "Ana Souza")]
    assert first[1].entry.fields["unread_count"] == 3
    after = (first[1].entry.sort_at, ANA)
    (last,) = await directory.chats("t", "s", after=after, most=2)
    assert (last.entry.entry_id, last.name, last.entry.fields) == (BIA, "Bia", {"archived": True})
    assert await directory.last_message("t", "s", ANA) == at(200)["last_message"]
    assert await directory.last_message("t", "s", BIA) is None
    assert [entry.entry_id for entry in await directory.contacts("t", "s", after=(0, ANA), most=9)] == [BIA]


async def test_entries_go_and_belong_to_a_pairing_and_a_tenant(
    store: DirectoryStore, database: Database, ref: int
) -> None:
    gone = Change(ref, 1, Kind.CHAT, ANA, None)
    await store.write(
        [chat(ref, ANA, name="x"), chat(ref, BIA, name="Beatriz Nogueira"), chat(ref, GROUP, generation=2, name="z")]
    )
    await store.write([gone])
    assert [e.entry_id for e in await store.page("t", "s", Kind.CHAT, after=None, most=9)] == [BIA]
    await SessionStore(database).begin_generation(ref, after=1)
    assert await store.page("t", "s", Kind.CHAT, after=None, most=9) == []
    for tenant, session in (("other", "s"), ("t", "nobody")):
        with pytest.raises(SessionNotFound):
            await store.page(tenant, session, Kind.CHAT, after=None, most=9)
    async with database.begin() as connection:
        stored = (await connection.execute(sa.text("SELECT entry_id, value FROM directory"))).all()
    assert [row.entry_id for row in stored] == [BIA]
    assert b"Beatriz" not in bytes(stored[0].value)


async def test_a_session_knows_so_many_and_what_it_knows_goes_on_changing(
    store: DirectoryStore, ref: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    await store.write([chat(ref, ANA, name="a"), chat(ref, BIA, name="b"), chat(ref, GROUP, name="c")])
    await store.write([chat(ref, GROUP, name="d"), chat(ref, ANA, name="e")])
    known = await store.page("t", "s", Kind.CHAT, after=None, most=9)
    assert [(entry.entry_id, entry.fields["name"]) for entry in known] == [(ANA, "e"), (BIA, "b")]


async def test_an_entry_that_cannot_be_opened_is_learned_anew(
    store: DirectoryStore, database: Database, ref: int
) -> None:
    await store.write([chat(ref, ANA, name="a")])
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE directory SET value = 'x'"))
    (entry,) = await store.page("t", "s", Kind.CHAT, after=None, most=9)
    assert entry.fields == {}
    await store.write([chat(ref, ANA, archived=True)])
    (entry,) = await store.page("t", "s", Kind.CHAT, after=None, most=9)
    assert entry.fields == {"archived": True}
