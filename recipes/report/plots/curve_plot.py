"""Curves over an axis of their own as a plot, with bands over the seeds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from compress.core.stage.exhibit import Curves, Line
from recipes.report import units
from recipes.report.plots.scatter import ACCENT, INK, MARKERS, MUTED, SETTINGS, Plot, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve_plot"]

STYLES = ("-", "--", ":", "-.")


def curve_plot(shown: Curves, key: str) -> Plot:
    """Line plot of curves; the first line stands out.

    Args:
        shown: curves with an axis of their own.
        key: prefix of the SVG's ids, unique in the page.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    scale = 100.0 if units.is_percent(shown.metric) else 1.0
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.6, 3.5), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for index, line in enumerate(shown.lines):
            _line(axes, shown.at, line, index, scale)
        if shown.level:
            axes.axhline(shown.level.values[0] * scale, color=INK, linewidth=0.8)
        _frame(axes, shown)
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Plot(inline(out.getvalue(), key, shown.title, _words(shown, scale)), shown.caption)


def _line(axes: Axes, at: tuple[float, ...], line: Line, index: int, scale: float) -> None:
    """One line with its band."""
    color = MUTED if index else ACCENT
    means = [value * scale for value in line.values]
    if line.deviations:
        spread = [value * scale for value in line.deviations]
        low, high = ([mean + sign * width for mean, width in zip(means, spread)] for sign in (-1, 1))
        axes.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
    style: dict[str, Any] = {"marker": MARKERS[index % len(MARKERS)], "linestyle": STYLES[index % len(STYLES)]}
    axes.plot(at, means, color=color, markersize=4, linewidth=1.4, label=line.name, **style)


def _frame(axes: Axes, shown: Curves) -> None:
    """An axis that falls runs down from its largest value, with distances in proportion to the ratios of its values."""
    from matplotlib.ticker import NullFormatter, NullLocator

    if shown.falling:
        axes.set_xscale("log")
        axes.set_xlim(max(shown.at) * 1.05, min(shown.at) * 0.95)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(shown.at, [units.plain_number(value, 2 if value < 99.5 else 3) for value in shown.at])
    axes.set_xlabel(shown.axis)
    axes.set_ylabel(f"{shown.metric} (%)" if units.is_percent(shown.metric) else shown.metric)
    axes.legend(frameon=False, fontsize=9)


def _words(shown: Curves, scale: float) -> str:
    """Text alternative of the plot."""
    level = [f"{shown.level.name} {shown.level.values[0] * scale:.3g}"] if shown.level else []
    lines = [
        f"{line.name}: " + ", ".join(f"{value * scale:.3g} at {at:.3g}" for at, value in zip(shown.at, line.values))
        for line in shown.lines
    ]
    return "; ".join([*level, *lines])
