"""Changing the encryption key: every value sealed under the first of SESSION_ENCRYPTION_KEYS, beside the running service."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.store.key_rotation import TABLES, KeyRotationStore

#: The first pass meets nearly everything; the others what a writer held, or wrote with older settings, meanwhile.
_PASSES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """``unreadable``: values that no given key opens, left as they are. ``remaining``: values by key id; None is plain."""

    sealed: int
    unreadable: int
    remaining: dict[bytes | None, int]


class KeyRotation:
    def __init__(self, store: KeyRotationStore) -> None:
        self._store = store

    async def count(self) -> dict[bytes | None, int]:
        """The number of stored values under each key, by its id; None is for plain ones."""
        numbers: Counter[bytes | None] = Counter()
        for table in TABLES:
            numbers.update(await self._store.count(table))
        return dict(numbers)

    async def run(self, report: Callable[[int], None]) -> Outcome:
        """Seal all that isn't under the first key; ``report`` is told the number of values done so far.

        It may be cut short at any moment and run again: what is done is skipped then.
        """
        sealed = unreadable = 0
        for _ in range(_PASSES):
            before, unreadable = sealed, 0
            for table in TABLES:
                after = None
                while True:
                    batch = await self._store.seal_batch(table, after)
                    sealed, unreadable, after = sealed + batch.sealed, unreadable + batch.unreadable, batch.last
                    report(sealed)
                    if after is None:
                        break
            if sealed == before:
                break
        return Outcome(sealed, unreadable, await self.count())
