"""Waiting for a condition in asynchronous tests: a deadline, never a sleep and a hope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.processes import PATIENCE, DeadlineError, pauses

T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = 15.0, what: str = "the condition") -> T:
    """The first true answer of ``condition``; ``DeadlineError`` when there is none in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    pause = pauses()
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise DeadlineError(f"waited {seconds * PATIENCE:g} s in vain for {what}; the last answer was {answer!r}")
        await asyncio.sleep(next(pause))
