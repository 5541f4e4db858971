"""``keys rotate``."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping

from orchestrator import bootstrap
from orchestrator.commands.database import service_database_url
from orchestrator.config import Settings, SettingsError
from orchestrator.services.key_rotation import Outcome
from orchestrator.store.sealing import Sealer

_BAR_WIDTH = 30


def rotate_keys(_arguments: argparse.Namespace) -> int:
    """Seal every stored value under the first key; 1 if some can't be opened."""
    settings = Settings.from_environment(os.environ)
    if not settings.session_encryption_keys:
        raise SettingsError("SESSION_ENCRYPTION_KEYS is not set; put the new key first and the present ones after it.")
    outcome = asyncio.run(_rotate(settings, service_database_url(settings)))
    for line in summary(outcome, Sealer(settings.session_encryption_keys).key_ids):
        print(line)
    return 1 if outcome.unreadable else 0


async def _rotate(settings: Settings, url: str) -> Outcome:
    first = Sealer(settings.session_encryption_keys).key_ids[0]
    async with bootstrap.key_rotation(settings, url) as rotation:
        numbers = await rotation.count()
        progress = Progress(sum(numbers.values()) - numbers.get(first, 0))
        try:
            return await rotation.run(progress.show)
        finally:
            progress.end()


class Progress:
    """A bar with counts and rate, on a terminal; elsewhere nothing, because nobody watches."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._shown = sys.stderr.isatty()

    def show(self, done: int) -> None:
        if not self._shown:
            return
        share = min(1.0, done / self._total) if self._total else 1.0
        bar = "█" * round(share * _BAR_WIDTH)
        rate = done / max(time.monotonic() - self._began, 0.001)
        line = f"\r  {bar:░<{_BAR_WIDTH}} {done:,} of {self._total:,} values, {rate:,.0f}/s "
        print(line, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


def summary(outcome: Outcome, key_ids: tuple[bytes, ...]) -> list[str]:
    """What is under which key now, and which keys are of no use any more; keys are told by their place in the setting."""
    lines = [f"Sealed anew: {outcome.sealed:,} values.", *_remaining(outcome.remaining, key_ids)]
    unused = [number for number, key in enumerate(key_ids, start=1) if number > 1 and key not in outcome.remaining]
    if unused:
        keys = ", ".join(f"key {number}" for number in unused)
        lines.append(
            f"Once every replica runs with key 1 as its first, SESSION_ENCRYPTION_KEYS can do without: {keys}."
        )
    if outcome.unreadable:
        lines.append(
            f"{outcome.unreadable:,} values can't be opened with these keys and were left as they are; "
            "add the key that sealed them and run this again."
        )
    return lines


def _remaining(remaining: Mapping[bytes | None, int], key_ids: tuple[bytes, ...]) -> list[str]:
    numbers = {key: number for number, key in enumerate(key_ids, start=1)}
    lines = [f"  under key {numbers[key]}: {remaining[key]:,}" for key in key_ids if key in remaining]
    unknown = sum(number for key, number in remaining.items() if key is not None and key not in numbers)
    if unknown:
        lines.append(f"  under keys that were not given: {unknown:,}")
    if None in remaining:
        lines.append(f"  not sealed: {remaining[None]:,}")
    return lines
