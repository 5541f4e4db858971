"""A sidecar that neither works nor dies is restarted through supervisord."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.fake_whatsapp import FakeWhatsApp
from tests.support.longer import only_longer
from tests.support.tree import tree
from tests.support.waiting import eventually


@only_longer
@pytest.mark.timeout(200)
async def test_a_stopped_sidecar_is_replaced_and_its_sessions_come_back(
    short_path: Path, whatsapp: FakeWhatsApp
) -> None:
    async with tree(short_path / "data", short_path / "log", whatsapp.environ) as product:
        await product.ready()
        await product.pair("loja-1", "5511999990001", whatsapp)
        opened = (await product.session("loja-1"))["last_open_at"]
        hung = product.pid("baileys")
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)

        async def replaced() -> bool:
            return await asyncio.to_thread(product.pid, "baileys") not in (None, hung)

        await eventually(replaced, 120, "another sidecar process")
        await product.open("loja-1", after=opened)
        assert (await whatsapp.counts())["registrations"] == 1
        assert "sidecar doesn't answer; restarting it" in product.child.output
