"""Pictures: what is drawn of hours and minutes, and what is left out."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.pages.dashboard import drawing
from orchestrator.wire.activity import BackupMinute, Hour

NOW = datetime(2026, 11, 27, 12, 34, 56, tzinfo=UTC)


def hour(ago: int, samples: int = 60, open_samples: int = 60, sent: int = 0, received: int = 0) -> Hour:
    begins = NOW.replace(minute=0, second=0) - timedelta(hours=ago)
    return Hour(
        hour=begins.isoformat().replace("+00:00", "Z"),
        samples=samples,
        open_samples=open_samples,
        sent=sent,
        received=received,
    )


def minute(ago: int, writes: int, slow_seconds: float) -> BackupMinute:
    begins = NOW.replace(second=0) - timedelta(minutes=ago)
    return BackupMinute(minute=begins.isoformat(), writes=writes, slow_seconds=slow_seconds, journal_bytes=0)


def test_hours_that_nobody_ran_are_gaps_and_the_present_one_is_last() -> None:
    cells = drawing.hour_cells([hour(0), hour(2), hour(30)], 4, NOW)
    assert [found is not None for _, found in cells] == [False, True, False, True]
    assert cells[-1][0] == NOW.replace(minute=0, second=0)


def test_minutes_without_a_write_are_gaps() -> None:
    assert drawing.minute_values([minute(0, 5, 0.002), minute(1, 0, 0.0), minute(3, 1, 0.25)], 4, NOW) == [
        250.0,
        None,
        None,
        2.0,
    ]


@pytest.mark.parametrize(
    ("open_samples", "heat"), [(60, "4"), (59, "3"), (54, "3"), (53, "2"), (30, "2"), (29, "1"), (1, "1"), (0, "0")]
)
def test_a_cell_tells_how_much_of_the_hour_it_was_open(open_samples: int, heat: str) -> None:
    now = datetime.now(UTC).isoformat()
    one = Hour(hour=now[:13] + ":00:00+00:00", samples=60, open_samples=open_samples, sent=0, received=0)
    drawn = drawing.heat_strip([one], "label")
    assert re.findall(r'class="heat-(\w+)"', drawn) == ["none"] * 23 + [heat]


def test_the_share_is_of_the_time_in_which_somebody_ran_it() -> None:
    assert drawing.share([hour(0, 60, 30), hour(5, 20, 20)]) == 50 / 80
    assert drawing.share([]) is None


def test_lines_break_where_there_is_no_number_and_share_a_scale() -> None:
    drawn = drawing.lines("label", {"a": [0.0, 10.0, None, 5.0], "b": [5.0, 5.0, 5.0, 5.0]})
    points = re.findall(r'class="line (\w)" points="([^"]+)"', drawn)
    assert [name for name, _ in points] == ["a", "a", "b"]
    assert points[0][1] == "0.0,46.0 80.0,4.0"
    assert points[1][1] == "240.0,25.0 240.0,25.0"
    assert points[2][1].startswith("0.0,25.0 ")


def test_what_is_drawn_of_nothing_is_empty_and_no_error() -> None:
    assert "<polyline" not in drawing.lag("label", [])
    assert "<rect" not in drawing.bars("label", [])


def test_what_is_written_into_a_picture_is_no_markup() -> None:
    drawn = drawing.bars("<b>", [("11 2026: <i>", 5), ("12 2026: -3", -3)])
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert 'height="0.0"' in drawn
