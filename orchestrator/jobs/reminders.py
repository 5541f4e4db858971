"""Reminding contacts again and again."""

import asyncio
import contextlib
import random

from orchestrator.domain.errors import Unavailable
from orchestrator.jobs.background import Loop, pause
from orchestrator.services.reminders import Reminders

_SECONDS = 5.0


def reminding(reminders: Reminders) -> Loop:
    """Decide what is due and give it to the outbox; any replica may."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            more = False
            with contextlib.suppress(Unavailable):  # the next round does it
                more = await reminders.round()
            if not more:
                await pause(stop, _SECONDS * random.uniform(0.8, 1.2))

    return loop
