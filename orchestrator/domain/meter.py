"""Counting: plain numbers that cost next to nothing while they are counted; whoever reads them does the work."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence


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

    def within(self, part: float, counts: Sequence[int]) -> float:
        """The bound within which this part of so many observations, by bound, were: 0 if there were none."""
        wanted, below = part * sum(counts), 0
        for bound, number in zip(self.bounds, counts, strict=False):
            below += number
            if below >= wanted and below:
                return bound
        return self.bounds[-1] if sum(counts) else 0.0


class Counter(dict[str, int]):
    """Numbers by one word, which must come from a small set."""

    def add(self, word: str, number: int = 1) -> None:
        self[word] = self.get(word, 0) + number


class MessageMeter:
    """Messages by ``session_ref`` since they were last taken."""

    __slots__ = ("_received", "_sent")

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}
        self._received: dict[int, int] = {}

    def sent(self, session_ref: int) -> None:
        self._sent[session_ref] = self._sent.get(session_ref, 0) + 1

    def received(self, session_ref: int) -> None:
        self._received[session_ref] = self._received.get(session_ref, 0) + 1

    def take(self) -> tuple[dict[int, int], dict[int, int]]:
        """What was sent and what was received, and begin anew."""
        taken = self._sent, self._received
        self._sent, self._received = {}, {}
        return taken

    def put_back(self, sent: Mapping[int, int], received: Mapping[int, int]) -> None:
        for counted, back in ((self._sent, sent), (self._received, received)):
            for session_ref, number in back.items():
                counted[session_ref] = counted.get(session_ref, 0) + number


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
