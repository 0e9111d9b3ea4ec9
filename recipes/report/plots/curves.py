"""Small curves over a training, such as its loss. Built from numbers alone, so safe to embed in HTML."""

from __future__ import annotations

from html import escape

from compress.core.stage.exhibit import Curves
from recipes.report import units
from recipes.report.plots.pruned_maps import Picture

__all__ = ["small_curve"]

WIDTH, HEIGHT, EDGE = 240.0, 56.0, 3.0


def small_curve(shown: Curves) -> Picture:
    """The first line above a ground at zero, or at the least value where that is below."""
    values = shown.lines[0].values
    ground, top = min(0.0, *values), max(0.0, *values)
    across, up = (WIDTH - 2 * EDGE) / (len(values) - 1), (HEIGHT - 2 * EDGE) / ((top - ground) or 1.0)
    points = " ".join(f"{EDGE + i * across:.1f},{HEIGHT - EDGE - (v - ground) * up:.1f}" for i, v in enumerate(values))
    ends = f"from {units.plain_number(values[0])} to {units.plain_number(values[-1])}"
    words = f"{shown.title}: {ends}, {len(values):,} points"
    svg = (
        f'<svg class="curve" role="img" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}">'
        f'<title>{escape(words)}</title><path class="ground" d="M0 {HEIGHT - EDGE + ground * up:.1f}h{WIDTH:g}"/>'
        f'<polyline class="line" points="{points}"/></svg>'
    )
    return Picture(f"{words[:1].upper()}{words[1:]}; the line below is 0.", svg)
