"""Counting: plain numbers that cost next to nothing while they are counted; whoever reads them does the work."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many observations were at most each bound, as Prometheus has it; not yet cumulated."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Counter(dict[str, int]):
    """Numbers by one word, which must come from a small set."""

    def add(self, word: str, number: int = 1) -> None:
        self[word] = self.get(word, 0) + number


class WriteMeter:
    """What the writer of auth states does: one observation for each transaction."""

    __slots__ = ("batch", "failures", "refused", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0))
        self.batch = Histogram((1, 2, 5, 10, 20, 50, 100, 200, 500))
        self.refused = 0
        """Writes of a lease that is another's by now."""
        self.failures = 0
        """Transactions of which nobody knows whether they were committed."""


class RequestMeter:
    """Requests to the public API, by operation and status, and how long they took."""

    __slots__ = ("requests", "seconds")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def observe(self, operation: str, status: int, seconds: float) -> None:
        key = (operation, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds
