from collections.abc import AsyncIterator

import pytest

from tests.support.fake_whatsapp import FakeWhatsApp, fake_whatsapp


@pytest.fixture
async def whatsapp() -> AsyncIterator[FakeWhatsApp]:
    """A fake WhatsApp of the test's own; a test that makes it notice a violation fails."""
    async with fake_whatsapp() as server:
        yield server
        assert await server.violations() == {}
