"""A host starts the new container before it stops the old one: the session moves once, and nobody is evicted."""

import time
from pathlib import Path

import pytest

from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.tree import tree

PHONE = "5511999990001"


@pytest.mark.timeout(120)
async def test_the_new_container_takes_over_when_the_old_one_is_told_to_stop(
    short_path: Path, database_url: str, whatsapp: FakeWhatsApp
) -> None:
    environ, token = {**whatsapp.environ, "DATABASE_URL": database_url}, "a-token-for-the-operator"
    async with tree(short_path / "old", short_path / "log1", environ, token=token) as old:
        await old.ready()
        await old.pair("loja-1", PHONE, whatsapp)
        async with tree(short_path / "new", short_path / "log2", environ, token=token) as new:
            await new.ready()  # healthy without owning a session
            before = await new.session("loja-1")
            assert before["connection_state"] == "open"
            asked = time.monotonic()
            assert await old.terminate() == 0
            await new.open("loja-1", after=before["last_open_at"])
            print(f"open again {time.monotonic() - asked:.1f} s after SIGTERM")
            after = await new.session("loja-1")
            assert after["epoch"] == before["epoch"] + 1
            counts = await whatsapp.counts()
            assert (counts["registrations"], counts["evictions"]) == (1, 0)
            assert (await new.send("loja-1", await whatsapp.contact(), "oi")).status == 201
            assert await new.terminate() == 0
