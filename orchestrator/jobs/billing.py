"""What is done of billing again and again: remind, pause, and read again what may have been paid."""

import asyncio
import contextlib
import random

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.jobs.background import Loop, pause
from orchestrator.services.payments import Payments
from orchestrator.services.subscriptions import Subscriptions

log = structlog.get_logger(__name__)

_SUBSCRIPTIONS_SECONDS = 10.0
_PAYMENTS_SECONDS = 120.0


def enforcing(subscriptions: Subscriptions) -> Loop:
    """Remind, pause, and begin trials when that is due."""

    async def loop(stop: asyncio.Event) -> None:
        prepared = False
        while not stop.is_set():
            with contextlib.suppress(Unavailable):  # the next round does it
                if not prepared:
                    await subscriptions.prepare()
                    prepared = True
                await subscriptions.look()
            await pause(stop, _SUBSCRIPTIONS_SECONDS * random.uniform(0.8, 1.2))

    return loop


def reconciling(payments: Payments) -> Loop:
    """Read again what is open, so that a notification that never came costs nothing."""

    async def loop(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await payments.reconcile(every_seconds=_PAYMENTS_SECONDS / 2)
            except Unavailable as error:
                log.warning("open payments not read", error=error.message)
            await pause(stop, _PAYMENTS_SECONDS * random.uniform(0.8, 1.2))

    return loop
