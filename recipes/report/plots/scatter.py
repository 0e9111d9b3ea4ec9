"""Scatter plots of quality against size and against speed, with intervals, as inline SVG in the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from recipes.record import Interval, Report, Row
from recipes.report import units
from recipes.report.plots.label_layout import place_labels
from recipes.report.table.speed_points import describe, points, speed_at
from recipes.report.table.table import groups, metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACCENT", "INK", "MARKERS", "MUTED", "SETTINGS", "Mark", "Plot", "inline", "named", "plots"]

INK, MUTED, GRID, ACCENT = "#010101", "#020202", "#030303", "#040404"
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", ACCENT: "var(--accent)"}
"""Colours that matplotlib writes, and what the page puts in their place, so that one picture suits light and dark."""
BEHIND = " Small ones are beaten in both by another of their runtime; the table names them all."
MOST_NAMES = 8
"""With more rows than this, a plot names only those that no other of their runtime beats."""
MARKERS = ("o", "s", "^", "D", "v", "P")
SETTINGS: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "trimformer",
    "font.family": "sans-serif", "font.size": 10,
    "savefig.facecolor": "none", "figure.facecolor": "none", "axes.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.labelcolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "text.color": INK,
    "grid.color": GRID, "axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.unicode_minus": True,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """SVG with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Mark:
    """One row in a plot: where it is, how sure that is, its shape, and whether it stands behind the named ones."""

    x: float
    y: float
    across: Interval | None
    up: Interval
    label: str
    runtime: str
    baseline: bool = False
    behind: bool = False


def named(marks: Sequence[Mark], *, smaller: bool) -> list[Mark]:
    """The marks, those behind and without a name that are beaten, where there are more than `MOST_NAMES`.

    The baseline keeps its name. A mark is beaten by one of its runtime that is as good in both, and better in one.

    Args:
        marks: of one plot.
        smaller: whether less of x is better.
    """
    if sum(bool(mark.label) for mark in marks) <= MOST_NAMES:
        return list(marks)
    sign = -1 if smaller else 1

    def beats(other: Mark, mark: Mark) -> bool:
        x, y = sign * (other.x - mark.x), other.y - mark.y
        return other.runtime == mark.runtime and min(x, y) >= 0 and max(x, y) > 0

    def beaten(mark: Mark) -> bool:
        return any(beats(other, mark) for other in marks)

    return [replace(mark, label="", behind=True) if beaten(mark) and not mark.baseline else mark for mark in marks]


def plots(report: Report) -> list[Plot]:
    """Quality against size, and against speed where it was measured. None without two rows of known quality."""
    name = metric(report)
    scale = 100.0 if units.is_percent(name) else 1.0
    by_size = _marks(report, lambda row: row.size and (row.size.bytes / 1e6, None), scale)
    drawn = []
    if len(by_size) > 1:
        words = ("size of the model's files (MB)", name, "size", f"{name} against size")
        drawn.append(_plot(by_size, named(by_size, smaller=True), *words))
    point = next(iter(points(report, 1)), None)
    by_speed = _marks(report, lambda row: _speed(row, point), scale) if point else []
    if point and len(by_speed) > 1:
        title = f"{name} against speed at {describe(point)}"
        words = (f"speed-up over the baseline (×), {describe(point)}", name, "speed", title)
        drawn.append(_plot(by_speed, named(by_speed, smaller=False), *words))
    return drawn


def _speed(row: Row, point: Any) -> tuple[float, Interval | None] | None:
    speed = speed_at(row, point)
    if row.baseline and speed:
        return 1.0, None
    return (speed.ratio, speed.ratio_interval) if speed and speed.ratio else None


def _marks(report: Report, across: Any, scale: float) -> list[Mark]:
    found = []
    for rows in groups(report).values():
        for index, row in enumerate(rows):
            where = across(row)
            if row.quality and where:
                low, high = row.quality.interval
                up = (low * scale, high * scale)
                label = row.id if index == 0 else ""
                value = row.quality.value * scale
                found.append(Mark(where[0], value, where[1], up, label, row.runtime, row.baseline))
    return found


def _plot(marks: Sequence[Mark], shown: Sequence[Mark], x_label: str, name: str, key: str, title: str) -> Plot:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    runtimes = list(dict.fromkeys(mark.runtime for mark in marks))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.0, 3.5), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for mark in sorted(shown, key=lambda mark: not mark.behind):
            _draw(axes, mark, MARKERS[runtimes.index(mark.runtime) % len(MARKERS)])
        axes.set_xlabel(x_label)
        axes.set_ylabel(f"{name} (%)" if units.is_percent(name) else name)
        _frame(axes, shown)
        place_labels(figure, axes, shown, color=INK)
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    words = "; ".join(f"{mark.label or 'another seed'}: {mark.x:.3g}, {mark.y:.3g}" for mark in marks)
    legend = _legend(runtimes) + (BEHIND if any(mark.behind for mark in shown) else "")
    return Plot(inline(out.getvalue(), key, title, words), f"{title.capitalize()}. {legend}")


def _draw(axes: Axes, mark: Mark, marker: str) -> None:
    x_error = [[mark.x - mark.across[0]], [mark.across[1] - mark.x]] if mark.across else None
    y_error = [[max(mark.y - mark.up[0], 0.0)], [max(mark.up[1] - mark.y, 0.0)]]
    color = GRID if mark.behind else MUTED
    bars: dict[str, Any] = {"ecolor": color, "elinewidth": 1, "capsize": 0, "fmt": "none"}
    axes.errorbar([mark.x], [mark.y], xerr=x_error, yerr=y_error, **bars)
    axes.plot(
        [mark.x],
        [mark.y],
        marker,
        color=MUTED if mark.behind else ACCENT,
        markersize=4 if mark.behind else 6,
        markeredgewidth=0,
    )


def _frame(axes: Axes, marks: Sequence[Mark]) -> None:
    """The x axis begins at zero, so that lengths on it are in proportion."""
    right = max(mark.across[1] if mark.across else mark.x for mark in marks)
    axes.set_xlim(0, right * 1.12)
    axes.margins(y=0.08)


def _legend(runtimes: Sequence[str]) -> str:
    signs = dict(zip(MARKERS, ("circles", "squares", "triangles", "diamonds", "inverted triangles", "crosses")))
    shapes = [f"{signs[MARKERS[index % len(MARKERS)]]} are {runtime}" for index, runtime in enumerate(runtimes)]
    lines = "Lines are 95 % intervals."
    return f"{', '.join(shapes).capitalize()}. {lines}" if len(runtimes) > 1 else lines


def inline(svg: str, key: str, title: str, words: str) -> str:
    """SVG that can stand in HTML: no prologue, no namespaces or metadata, own ids, the page's colours, a title.

    Args:
        svg: as matplotlib writes it.
        key: prefix of its ids, unique in the page.
        title: of the picture.
        words: its text alternative.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"font: ([^;']*?)(\d+px)[^;\"]*;", r"font: \2 var(--sans);", svg)
    for color, variable in THEME.items():
        svg = svg.replace(color, variable)
    head = f'<svg class="plot" role="img" aria-labelledby="{key}-title {key}-desc" '
    named = f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(words)}</desc>'
    svg = re.sub(r"^<svg\s", head, svg)
    return re.sub(r">", lambda match: f">{named}", svg, count=1)
