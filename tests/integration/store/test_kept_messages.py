"""Messages of chats: kept as long as the session, or its tenant, wants, and forgotten after that."""

import json
from typing import Any

import sqlalchemy as sa

from orchestrator.domain.message_key import message_key
from orchestrator.domain.tenant import Limits
from orchestrator.store.database import Database
from orchestrator.store.incoming_messages import IncomingMessageStore
from orchestrator.store.kept_messages import KeptMessageStore
from orchestrator.store.messages import MessageStore
from orchestrator.store.sealing import Sealer, place_of
from orchestrator.store.sessions import SessionStore
from orchestrator.store.tenants import TenantStore

SEALER = Sealer((bytes(32),))
ANA, BIA = "5511900000001@s.whatsapp.net", "5511900000002@s.whatsapp.net"


async def made(database: Database, tenant_id: str, days: int) -> int:
    await TenantStore(database).create(tenant_id, tenant_id, Limits(), days)
    await SessionStore(database).create(tenant_id, "s")
    async with database.begin() as connection:
        found = await connection.execute(
            sa.text("SELECT session_ref FROM sessions WHERE tenant_id = :t"), {"t": tenant_id}
        )
        return int(found.scalar_one())


async def came(database: Database, tenant_id: str, ref: int, message_id: str, chat: str, age: str) -> None:
    """A message that came in and was delivered so long ago."""
    data = {"message_id": message_id, "chat": chat, "sender": chat, "from_me": False, "origin": {"chat": chat}}
    key = message_key(message_id, chat, chat)
    event = SEALER.seal(json.dumps(data).encode(), place_of(tenant_id, ref, 1, "incoming-message", key))
    statement = f"""INSERT INTO incoming_messages (session_ref, generation, message_key, event, received_at, delivered_at)
        VALUES (:ref, 1, :key, :event, now() - interval '{age}', now() - interval '{age}')"""
    async with database.begin() as connection:
        await connection.execute(sa.text(statement), {"ref": ref, "key": key, "event": event})


async def ids(store: KeptMessageStore, tenant_id: str, ref: int, chat: str, days: int, **page: Any) -> list[str]:
    found = await store.page(tenant_id, ref, chat, days=days, before=page.get("before"), most=page.get("most", 50))
    assert all("origin" not in message.data for message in found)
    return [message.data["message_id"] for message in found]


async def test_a_chat_is_the_same_before_and_after_its_messages_were_pruned(database: Database) -> None:
    store, incoming = KeptMessageStore(database, SEALER), IncomingMessageStore(database, SEALER)
    keeps, forgets = await made(database, "keeps", 3), await made(database, "forgets", 0)
    for message_id, chat, age in (
        ("A", ANA, "5 days"),
        ("B", ANA, "2 days"),
        ("C", BIA, "2 days"),
        ("D", ANA, "1 hour"),
    ):
        await came(database, "keeps", keeps, message_id, chat, age)
        await came(database, "forgets", forgets, message_id, chat, age)
    own = {"message_id": "E", "chat": ANA, "sender": BIA, "from_me": True, "origin": {"chat": ANA}}
    await store.keep("keeps", keeps, 1, own)
    await store.keep("keeps", keeps, 1, own)
    assert await ids(store, "keeps", keeps, ANA, 3) == ["E", "D", "B"]
    assert await incoming.prune(delivered_hours=24, undelivered_days=7, most=100) == (6, 0)
    assert await ids(store, "keeps", keeps, ANA, 3) == ["E", "D", "B"]
    assert await ids(store, "keeps", keeps, BIA, 3) == ["C"]
    assert await ids(store, "forgets", forgets, ANA, 3) == ["D"]
    page = await store.page("keeps", keeps, ANA, days=3, before=None, most=2)
    assert await ids(store, "keeps", keeps, ANA, 3, before=page[-1].number) == ["B"]
    (known,) = await MessageStore(database, SEALER).received("keeps", keeps, "B")
    assert known.origin == {"chat": ANA}


async def test_what_is_kept_no_longer_is_forgotten(database: Database) -> None:
    store, incoming = KeptMessageStore(database, SEALER), IncomingMessageStore(database, SEALER)
    ref = await made(database, "kept", 30)
    for message_id, age in (("A", "20 days"), ("B", "2 days")):
        await came(database, "kept", ref, message_id, ANA, age)
    await incoming.prune(delivered_hours=24, undelivered_days=7, most=100)
    assert (await store.retention("kept", "s"), await store.prune(10)) == ((ref, 30), 0)
    async with database.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO session_settings (session_ref, settings, retention_days) VALUES (:ref, '', 5)"),
            {"ref": ref},
        )
    assert (await store.retention("kept", "s"), await store.prune(10)) == ((ref, 5), 1)
    assert await ids(store, "kept", ref, ANA, 5) == ["B"]
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE session_settings SET retention_days = 0"))
    assert (await store.retention("kept", "s"), await store.prune(10), await store.prune(10)) == ((ref, 0), 1, 0)
