"""The picture of the report: an SVG of a few bars, written by hand so that nothing has to be installed for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.bench import plan, stores
from tests.bench.plan import WRITES
from tests.bench.report import DISKS, disk_words
from tests.bench.runs import Runs, Spread

WIDTH, LABEL, BAR, LINE, PANEL_GAP = 920, 190, 640, 22, 34
OURS = (stores.OURS.name, stores.OURS_WITHOUT_JOURNAL.name)
OURS_COLOUR, PEER_COLOUR = "#1a7f5a", "#9aa5b1"


@dataclass(frozen=True)
class Panel:
    """Bars of one figure, by store."""

    title: str
    unit: str
    bars: Sequence[tuple[str, Spread]]


def picture(runs: Runs) -> str:
    """SVG: keys/s and CPU of all stores at 100 sessions and the time of a set at one session, on both disks."""
    wanted = (
        ("keys_per_second", 100, "durable keys per second, 100 sessions (longer is better)", ""),
        ("cpu", 100, "CPU seconds for 10,000 messages, 100 sessions (shorter is better)", " s"),
        ("p50_ms", 1, "median time of a set, 1 session (shorter is better)", " ms"),
    )
    panels = [
        Panel(f"{title}: {disk_words(disk)}", unit, _bars(runs, figure, disk, sessions))
        for figure, sessions, title, unit in wanted
        for disk in DISKS
    ]
    return _svg([panel for panel in panels if panel.bars])


def _bars(runs: Runs, figure: str, disk: str, sessions: int) -> list[tuple[str, Spread]]:
    found = [
        (store.name, runs.spread(figure, store.name, disk=disk, load=WRITES, sessions=sessions)) for store in plan.ALL
    ]
    return [(name, spread) for name, spread in found if spread is not None]


def _svg(panels: Sequence[Panel]) -> str:
    y, parts = PANEL_GAP, []
    for panel in panels:
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(panel.title)}</text>')
        longest = max(spread.high for _, spread in panel.bars)
        for name, spread in panel.bars:
            y += LINE
            parts.append(_bar(name, spread, panel.unit, y, BAR / longest if longest else 0))
        y += PANEL_GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="white"/>', *parts, "</svg>", ""])


def _bar(name: str, spread: Spread, unit: str, y: int, scale: float) -> str:
    """The median as a bar, lowest to highest as a line through its end."""
    colour = OURS_COLOUR if name in OURS else PEER_COLOUR
    low, median, high = (LABEL + value * scale for value in (spread.low, spread.median, spread.high))
    return (
        f'<text x="{LABEL - 8}" y="{y}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{LABEL}" y="{y - 12}" width="{median - LABEL:.1f}" height="15" fill="{colour}"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="#333"/>'
        f'<text x="{high + 6:.1f}" y="{y}">{_number(spread.median)}{unit}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
