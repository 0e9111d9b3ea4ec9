"""The metric against the weights that are left, of the ticket and its controls, with bands over the seeds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from recipes.record import Report
from recipes.report import units
from recipes.report.lottery import studies
from recipes.report.plots import ACCENT, INK, MARKERS, MUTED, SETTINGS, Plot, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lottery_plots"]

STYLES = ("-", "--", ":", "-.")


def lottery_plots(report: Report) -> dict[str, Plot]:
    """Name of the row -> its drawing, for every search."""
    found = [(name, study) for name, study in studies(report) if "lines" in study]
    return {name: _plot(study, f"tickets-{place}") for place, (name, study) in enumerate(found)}


def _plot(found: dict[str, Any], key: str) -> Plot:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    scale = 100.0 if units.is_percent(found["metric"]) else 1.0
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.6, 3.5), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for place, name in enumerate(found["lines"]):
            _line(axes, found, name, place, scale)
        _full(axes, found["full"], scale)
        _frame(axes, found)
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    title = f"{found['metric']} against weights left"
    caption = (
        f"{title.capitalize()}, on select. Bands are one standard deviation over {len(found['seeds'])} seeds; the "
        "level line is the full model."
    )
    return Plot(inline(out.getvalue(), key, title, _words(found, scale)), caption)


def _line(axes: Axes, found: dict[str, Any], name: str, place: int, scale: float) -> None:
    """One line from the full model on, with its band."""
    points = [{"remaining": 1.0, **found["full"]}, *found["lines"][name]]
    across = [point["remaining"] * 100 for point in points]
    means = [point["mean"] * scale for point in points]
    spread = [(point["deviation"] or 0.0) * scale for point in points]
    color = ACCENT if name == "ticket" else MUTED
    low, high = ([mean + sign * width for mean, width in zip(means, spread)] for sign in (-1, 1))
    axes.fill_between(across, low, high, color=color, alpha=0.18, linewidth=0)
    style: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "linestyle": STYLES[place % len(STYLES)]}
    axes.plot(across, means, color=color, markersize=4, linewidth=1.4, label=name.replace("_", " "), **style)


def _full(axes: Axes, full: dict[str, Any], scale: float) -> None:
    axes.axhline(full["mean"] * scale, color=INK, linewidth=0.8)


def _frame(axes: Axes, found: dict[str, Any]) -> None:
    """Sizes run down from the full model, each as far from the next as its share says."""
    from matplotlib.ticker import NullFormatter, NullLocator

    left = [100.0, *(point["remaining"] * 100 for point in found["lines"]["ticket"])]
    axes.set_xscale("log")
    axes.set_xlim(max(left) * 1.05, min(left) * 0.95)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(left, [units.plain_number(value, 2 if value < 99.5 else 3) for value in left])
    axes.set_xlabel("weights left (% of the encoder's matrices)")
    axes.set_ylabel(f"{found['metric']} (%)" if units.is_percent(found["metric"]) else found["metric"])
    axes.legend(frameon=False, fontsize=9)


def _words(found: dict[str, Any], scale: float) -> str:
    """What the drawing shows, for those who do not see it."""
    full = f"full model {found['full']['mean'] * scale:.3g}"
    lines = [
        f"{name}: " + ", ".join(f"{p['remaining'] * 100:.3g} % {p['mean'] * scale:.3g}" for p in points)
        for name, points in found["lines"].items()
    ]
    return "; ".join([full, *lines])
