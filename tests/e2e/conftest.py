from collections.abc import AsyncIterator

import pytest

from tests.support.baseline import baseline
from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp
from tests.support.postgres import short_folder
from tests.support.side_by_side import PHONE, Reference, talk_of


@pytest.fixture
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    """A fake WhatsApp of the test's own; a test that makes it notice a violation fails."""
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}


@pytest.fixture
async def reference() -> AsyncIterator[Reference]:
    """The file-store bot, paired and ready to be killed as often as ours."""
    with short_folder() as folder:
        async with fake_whatsapp() as server, baseline(folder, server) as bot:
            await bot.pair(PHONE)
            yield Reference(bot, await talk_of(server))
