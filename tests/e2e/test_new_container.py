"""Scan once, never again: the whole tree is killed and its disk thrown away; only the database stays."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.fake_whatsapp import fake_whatsapp
from tests.support.longer import only_longer
from tests.support.side_by_side import (
    KILLS,
    PHONE,
    SESSION,
    TRAFFIC_SECONDS,
    Reference,
    both_talking,
    judge,
    sender,
    talk_of,
)
from tests.support.tree import tree


@only_longer
@pytest.mark.timeout(400)
async def test_a_new_container_with_an_empty_disk_brings_the_session_back(
    short_path: Path, database_url: str, reference: Reference
) -> None:
    """The whole tree, again and again: everything but the database is thrown away."""
    async with fake_whatsapp() as whatsapp:
        environ = {**whatsapp.environ, "DATABASE_URL": database_url, "SESSION_ENCRYPTION_KEYS": "5e" * 32}
        token, port, talk = "a-token-for-the-operator", None, None
        for start in range(KILLS + 1):
            data = short_path / "data"
            async with tree(data, short_path / f"log{start}", environ, port=port, token=token) as ours:
                await ours.ready()
                if start == 0:
                    await ours.pair(SESSION, PHONE, whatsapp)
                await ours.open(SESSION)
                talk = talk or await talk_of(whatsapp)
                async with both_talking(talk, sender(ours), reference):
                    await asyncio.sleep(TRAFFIC_SECONDS)
                    if start < KILLS:
                        ours.kill_everything()
                        await reference.kill()
                if start == KILLS:
                    await judge(talk, reference, kills=KILLS)
                    assert await ours.terminate() == 0
                port = ours.port
            shutil.rmtree(data)
