"""What was measured, and the arithmetic of comparisons: medians, and ratios paired within a round."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

#: How a round's best peer is chosen: `max` of what should be large, `min` of what should be small.
Best = Callable[[Iterable[float]], float]


@dataclass(frozen=True)
class Run:
    """One store under one load in one round."""

    disk: str
    load: str
    store: str
    sessions: int
    round: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Median and extremes of several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(statistics.median(values), min(values), max(values)) if values else None


class Runs:
    """All runs of a benchmark."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.all = list(runs)

    def values(self, figure: str, store: str, *, disk: str, load: str, sessions: int | None = None) -> dict[int, float]:
        """By round. ``sessions`` None: whatever their number; for loads that are run with one number only."""
        return {
            run.round: run.figures[figure]
            for run in self.all
            if (run.store, run.disk, run.load) == (store, disk, load)
            and sessions in (None, run.sessions)
            and figure in run.figures
        }

    def spread(self, figure: str, store: str, *, disk: str, load: str, sessions: int | None = None) -> Spread | None:
        return Spread.of(list(self.values(figure, store, disk=disk, load=load, sessions=sessions).values()))

    def ratio(
        self,
        figure: str,
        store: str,
        to: Sequence[str],
        *,
        disk: str,
        load: str,
        sessions: int | None = None,
        best: Best = max,
    ) -> Spread | None:
        """``store`` over the best of the stores ``to``, both of the same round; None when no round has both."""
        ours = self.values(figure, store, disk=disk, load=load, sessions=sessions)
        theirs = [self.values(figure, peer, disk=disk, load=load, sessions=sessions) for peer in to]
        ratios = []
        for round_, value in ours.items():
            peers = [values[round_] for values in theirs if round_ in values]
            if peers and best(peers):
                ratios.append(value / best(peers))
        return Spread.of(ratios)
