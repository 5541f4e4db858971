from tests.bench.runs import Run, Runs, Spread


def run(store: str, round_: int, value: float, *, disk: str = "fast", sessions: int = 100) -> Run:
    return Run(disk, "writes", store, sessions, round_, {"value": value})


def test_a_ratio_is_taken_within_a_round_and_against_the_best_of_that_round() -> None:
    runs = Runs(
        [
            *(run("ours", round_, value) for round_, value in enumerate([30.0, 10.0, 80.0])),
            *(run("slow", round_, value) for round_, value in enumerate([5.0, 4.0, 10.0])),
            *(run("quick", round_, value) for round_, value in enumerate([10.0, 2.0, 20.0])),
        ]
    )
    assert runs.ratio("value", "ours", ("slow", "quick"), disk="fast", load="writes") == Spread(
        median=3.0, low=2.5, high=4.0
    )
    assert runs.ratio("value", "ours", ("slow", "quick"), best=min, disk="fast", load="writes") == Spread(
        median=6.0, low=5.0, high=8.0
    )


def test_a_round_in_which_one_side_failed_counts_for_nothing() -> None:
    runs = Runs([run("ours", 0, 4.0), run("ours", 1, 9.0), run("peer", 1, 3.0), run("peer", 2, 1.0)])
    assert runs.ratio("value", "ours", ("peer",), disk="fast", load="writes") == Spread(3.0, 3.0, 3.0)
    assert runs.ratio("value", "ours", ("nobody",), disk="fast", load="writes") is None


def test_disks_and_numbers_of_sessions_are_kept_apart() -> None:
    runs = Runs([run("ours", 0, 1.0, sessions=1), run("ours", 0, 2.0), run("ours", 0, 3.0, disk="2 ms")])
    assert runs.values("value", "ours", disk="fast", load="writes", sessions=100) == {0: 2.0}
    assert runs.spread("value", "ours", disk="2 ms", load="writes", sessions=100) == Spread(3.0, 3.0, 3.0)
    assert runs.spread("value", "ours", disk="fast", load="light load") is None
