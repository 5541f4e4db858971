"""Folders that many old sidecars post at the same moment."""

import asyncio
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from orchestrator.domain.errors import Overloaded
from orchestrator.services import posted_folders
from orchestrator.services.posted_folders import AT_ONCE, Folder, Form, PostedFolders
from orchestrator.store.database import Database
from orchestrator.store.portable_states import PortableStateStore
from orchestrator.store.sealing import Sealer
from orchestrator.store.sessions import SessionStore
from orchestrator.transfer import multi_file
from tests.support.portable_states import BaileysState
from tests.support.waiting import eventually


@pytest.fixture
def folder(paired: tuple[Path, BaileysState]) -> Folder:
    return Folder(multi_file.read_files(paired[0]), Form.TEXT)


@pytest.fixture
def folders(database: Database) -> PostedFolders:
    return PostedFolders(SessionStore(database), PortableStateStore(database, Sealer(())))


async def connections(database: Database) -> int:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orchestrator whole auth state'"
    own = " AND datname = current_database()"
    async with database.begin() as connection:
        return int((await connection.execute(sa.text(count + own))).scalar_one())


async def test_many_posts_at_once_share_a_few_connections_and_too_many_are_refused(
    database: Database, database_url: str, folders: PostedFolders, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(map(len, folder.files.values()))
    monkeypatch.setattr(posted_folders, "WAITING_BYTES", 12 * size)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")  # nobody can add a session meanwhile
        posts = [asyncio.create_task(folders.keep("t", f"s{number}", folder)) for number in range(12)]

        async def all_turns_taken() -> bool:
            return await connections(database) == AT_ONCE

        await eventually(all_turns_taken)
        with pytest.raises(Overloaded):
            await folders.keep("t", "one-too-many", folder)
        assert await connections(database) == AT_ONCE
    await asyncio.gather(*posts)
    assert len(await folders.known("t", None)) == 12
    await folders.keep("t", "one-more", folder)
