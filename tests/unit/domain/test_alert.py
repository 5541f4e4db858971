from orchestrator.domain.alert import INTERVAL_SECONDS, OVER_SECONDS, AlertBook, AlertKind, Trouble, look

CONFLICT = Trouble(AlertKind.CONFLICT, "acme/loja-1", "Another device took over.")
OTHER = Trouble(AlertKind.CONFLICT, "acme/loja-2")
LOST = Trouble(AlertKind.LOST, "acme/loja-1")
REPAIRED = Trouble(AlertKind.REPAIRED, "acme/loja-1")


def told(*looks: tuple[float, list[Trouble]]) -> list[tuple[float, str, bool, int]]:
    """What is told at these moments with these troubles: when, which kind, whether it is over, of how many."""
    book, said = AlertBook(), []
    for now, troubles in looks:
        book, alerts = look(book, troubles, now)
        said += [(now, str(alert.kind), alert.over, len(alert.troubles)) for alert in alerts]
    return said


def test_a_trouble_is_told_once_and_its_end_once() -> None:
    looks = [(float(at), [CONFLICT] if at < 60 else []) for at in range(120)]
    assert told(*looks) == [(0.0, "conflict", False, 1), (60.0 + OVER_SECONDS, "conflict", True, 1)]


def test_what_passes_by_itself_is_never_told() -> None:
    assert told(*[(float(at), [LOST] if at < 100 else []) for at in range(300)]) == []


def test_what_lasts_is_told_when_it_has_lasted() -> None:
    assert told(*[(float(at), [LOST]) for at in range(300)]) == [(120.0, "lost", False, 1)]


def test_what_comes_soon_after_an_alert_waits_and_is_told_together() -> None:
    more = [Trouble(AlertKind.CONFLICT, f"acme/loja-{n}") for n in range(2, 40)]
    looks = [(float(at), [CONFLICT, *more[:at]]) for at in range(50)]
    assert told(*looks) == [(0.0, "conflict", False, 1), (INTERVAL_SECONDS, "conflict", False, 30)]


def test_a_trouble_that_flickers_does_not_end() -> None:
    looks = [(float(at), [CONFLICT] if at % 4 else []) for at in range(100)]
    assert told(*looks) == [(1.0, "conflict", False, 1)]


def test_nobody_waits_for_the_end_of_what_happened_once() -> None:
    assert told((0, [REPAIRED]), (60, []), (90, []), (120, [REPAIRED])) == [
        (0, "repaired", False, 1),
        (120, "repaired", False, 1),
    ]


def test_a_clock_that_was_set_back_does_not_silence_alerts() -> None:
    assert told((1_000_000, [CONFLICT]), (10, [CONFLICT, OTHER])) == [
        (1_000_000, "conflict", False, 1),
        (10, "conflict", False, 1),
    ]
