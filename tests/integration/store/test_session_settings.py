from dataclasses import replace

import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import AuthStateCorrupt, EncryptionKeyMissing, SessionNotFound
from orchestrator.domain.session_settings import DEFAULT_SETTINGS, HistorySync, SessionSettings
from orchestrator.store.database import Database
from orchestrator.store.sealing import Sealer
from orchestrator.store.session_settings import SessionSettingsStore
from orchestrator.store.sessions import SessionStore

PROXY = "socks5://loja:senha-secreta@proxy.example:1080"


async def test_settings_are_kept_sealed_and_changed_one_by_one(database: Database) -> None:
    session = await SessionStore(database).create("t", "s")
    other = await SessionStore(database).create("t", "other")
    store = SessionSettingsStore(database, Sealer([b"k" * 32]))
    assert await store.get("t", "s") == DEFAULT_SETTINGS
    before, after = await store.change("t", "s", lambda settings: replace(settings, proxy=PROXY, retention_days=30))
    assert (before, after) == (DEFAULT_SETTINGS, SessionSettings(proxy=PROXY, retention_days=30))
    await store.change("t", "s", lambda settings: replace(settings, history_sync=HistorySync.NONE))
    assert await store.of([session.session_ref, other.session_ref]) == {
        session.session_ref: SessionSettings(proxy=PROXY, retention_days=30, history_sync=HistorySync.NONE),
        other.session_ref: DEFAULT_SETTINGS,
    }
    assert await store.of([]) == {}
    async with database.begin() as connection:
        row = (await connection.execute(sa.text("SELECT settings, retention_days FROM session_settings"))).one()
    assert row.retention_days == 30
    assert b"senha" not in bytes(row.settings)
    with pytest.raises(EncryptionKeyMissing):
        await SessionSettingsStore(database, Sealer([])).get("t", "s")
    unopened = await SessionSettingsStore(database, Sealer([])).of([session.session_ref])
    assert isinstance(unopened[session.session_ref], AuthStateCorrupt)


async def test_only_the_session_of_the_tenant_has_settings(database: Database) -> None:
    await SessionStore(database).create("t", "s")
    store = SessionSettingsStore(database, Sealer([]))
    for tenant, session in (("other", "s"), ("t", "nobody")):
        with pytest.raises(SessionNotFound):
            await store.get(tenant, session)
        with pytest.raises(SessionNotFound):
            await store.change(tenant, session, lambda settings: settings)
