"""Pictures as inline SVG: lines of numbers and strips of hours. Colours are the stylesheet's."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from orchestrator.wire.activity import BackupMinute, Hour

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)

#: A picture's width and height, in its own units.
_WIDTH, _HEIGHT = 240, 48
#: A cell of a strip.
_CELL, _CELL_HEIGHT, _GAP = 8, 18, 1


def hour_cells(hours: Sequence[Hour], number: int, now: datetime | None = None) -> list[tuple[datetime, Hour | None]]:
    """The last so many hours, the present one last; None for those in which nobody ran the session."""
    present = (now or datetime.now(UTC)).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    known = {datetime.fromisoformat(hour.hour).astimezone(UTC): hour for hour in hours}
    moments = [present - _HOUR * (number - 1 - place) for place in range(number)]
    return [(moment, known.get(moment)) for moment in moments]


def minute_values(minutes: Sequence[BackupMinute], number: int, now: datetime | None = None) -> list[float | None]:
    """Milliseconds of slow writes in the last so many minutes; None where nobody wrote, or told."""
    present = (now or datetime.now(UTC)).astimezone(UTC).replace(second=0, microsecond=0)
    known = {
        datetime.fromisoformat(one.minute).astimezone(UTC): one.slow_seconds * 1000 for one in minutes if one.writes
    }
    return [known.get(present - _MINUTE * (number - 1 - place)) for place in range(number)]


def share(hours: Sequence[Hour]) -> float | None:
    """The part of the time in which it was open, of that in which somebody ran it; None if nobody did."""
    samples = sum(hour.samples for hour in hours)
    return sum(hour.open_samples for hour in hours) / samples if samples else None


def heat_strip(hours: Sequence[Hour], label: str, *, number: int = 24, rows: int = 1) -> Markup:
    """A cell for each hour, the newest last: how much of it the session was open. ``rows``: days below one another."""
    columns = number // rows
    width, height = columns * (_CELL + _GAP), rows * (_CELL_HEIGHT + _GAP)
    cells = [
        Markup('<rect class="heat-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
            _heat(hour),
            place % columns * (_CELL + _GAP),
            place // columns * (_CELL_HEIGHT + _GAP),
            _CELL,
            _CELL_HEIGHT,
            f"{moment:%Y-%m-%d %H:%M} UTC: {_percent(hour)}",
        )
        for place, (moment, hour) in enumerate(hour_cells(hours, number))
    ]
    return _picture("strip", width, height, label, Markup("").join(cells))


def _heat(hour: Hour | None) -> str:
    """A class of the stylesheet: none, or from 0 (never open) to 4 (always)."""
    if hour is None or hour.samples == 0:
        return "none"
    part = hour.open_samples / hour.samples
    return str(4 if part >= 0.995 else 3 if part >= 0.9 else 2 if part >= 0.5 else 1 if part > 0 else 0)


def _percent(hour: Hour | None) -> str:
    return "–" if hour is None or hour.samples == 0 else f"{hour.open_samples / hour.samples:.0%}"


def lines(label: str, values: Mapping[str, Sequence[float | None]]) -> Markup:
    """Lines of numbers on one scale from 0, by the class that colours each; a line is interrupted where there is no number."""
    top = max((value for line in values.values() for value in line if value is not None), default=0.0) or 1.0
    drawn = [
        Markup('<polyline class="{}" points="{}"/>').format(f"line {name}", points)
        for name, line in values.items()
        for points in _points(line, top)
    ]
    ground = Markup('<path class="ground" d="M0 {0}H{1}"/>').format(_HEIGHT - 1, _WIDTH)
    return _picture("lines", _WIDTH, _HEIGHT, label, ground + Markup("").join(drawn))


def _points(line: Sequence[float | None], top: float) -> list[str]:
    """The unbroken parts of a line. One number alone is drawn as a short one."""
    step = _WIDTH / max(1, len(line) - 1)
    parts: list[list[str]] = [[]]
    for place, value in enumerate(line):
        if value is None:
            parts.append([])
            continue
        y = _HEIGHT - 2 - value / top * (_HEIGHT - 6)
        parts[-1].append(f"{place * step:.1f},{y:.1f}")
    whole = [part if len(part) > 1 else [*part, _beside(part[0])] for part in parts if part]
    return [" ".join(part) for part in whole]


def _beside(point: str) -> str:
    x, _, y = point.partition(",")
    return f"{min(_WIDTH, float(x) + 2):.1f},{y}"


def messages(label: str, hours: Sequence[Hour], number: int = 24) -> Markup:
    """Messages by the hour: what came in and what was sent."""
    cells = hour_cells(hours, number)
    received = [float(hour.received) if hour else 0.0 for _, hour in cells]
    sent = [float(hour.sent) if hour else 0.0 for _, hour in cells]
    return lines(label, {"received": received, "sent": sent})


def lag(label: str, minutes: Sequence[BackupMinute], number: int = 120) -> Markup:
    """Milliseconds within which backups were durable, by the minute."""
    return lines(label, {"lag": minute_values(minutes, number)})


def bars(label: str, values: Sequence[tuple[str, int]]) -> Markup:
    """A bar for each name, with it below."""
    top, width = max((value for _, value in values), default=0) or 1, _WIDTH / max(1, len(values))
    drawn = [
        Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(place * width + 1, 36 - max(0, value) / top * 34, width - 2, max(0, value) / top * 34, name)
        + Markup('<text x="{:.1f}" y="46">{}</text>').format(place * width + width / 2, name.partition(" ")[0])
        for place, (name, value) in enumerate(values)
    ]
    return _picture("bars", _WIDTH, _HEIGHT, label, Markup("").join(drawn))


def _picture(kind: str, width: float, height: float, label: str, content: Markup) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, label, content
    )
