"""Spectra, such as singular values, with the rank at which each is cut. Built from numbers alone, so safe to embed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from compress.core.stage.exhibit import Cut, Spectrum
from recipes.report import units
from recipes.report.plots.pruned_maps import Picture

__all__ = ["cut_pair", "spectrum"]

PLOT, HEIGHT, EDGE = 180.0, 96.0, 4.0
LINE, LEFT, BAR, RIGHT = 17.0, 258.0, 90.0, 100.0


def spectrum(shown: Spectrum) -> Picture:
    """Plot of spectra: a curve for each layer with a dot where it is cut, and a bar of how much is kept."""
    listed = shown.lines
    height = max(HEIGHT, LINE * len(listed))
    inside = [f'<path class="ground" d="M{EDGE} {HEIGHT - EDGE}h{PLOT - 2 * EDGE}"/>']
    inside += [_curve(one, 1 - 0.7 * index / len(listed)) for index, one in enumerate(listed)]
    inside += [_bar(one, index * LINE) for index, one in enumerate(listed)]
    what = f"{shown.values} of {shown.title}"
    words = f"{what}: " + "; ".join(f"{one.name} {_share(one)}" for one in listed)
    width = LEFT + BAR + RIGHT
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    svg = f'<svg class="cuts spectra" role="img" {size}><title>{escape(words)}</title>{"".join(inside)}</svg>'
    meaning = f"each layer a line and each a share of its first; dots and bars are the {shown.cut}s"
    return Picture(f"{what[:1].upper()}{what[1:]}, {meaning}.", svg)


def cut_pair(shown: Spectrum) -> tuple[str, str]:
    """Where the lines are cut and the energy that this keeps, in words."""
    return f"{shown.cut} of {shown.title}", _cuts(shown.lines)


def _cuts(listed: Sequence[Cut]) -> str:
    cuts = [one.at for one in listed if one.at is not None]
    if not cuts:
        return "whole: factors would be no smaller"
    low, high = min(cuts), max(cuts)
    whole = f", {len(listed) - len(cuts)} whole" if len(cuts) < len(listed) else ""
    words = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    kept = f"at least {units.decimal(100 * min(one.kept for one in listed), 1)} % of the energy"
    return f"{words} of {max(one.of for one in listed):,}{whole}; {kept}"


def _curve(one: Cut, strength: float) -> str:
    """A line from the first value, at the top, to the last; a dot where it is cut."""
    points = [_point(index / (len(one.values) - 1), value) for index, value in enumerate(one.values)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = f'<polyline class="line" stroke-opacity="{strength:.2f}" points="{drawn}"/>'
    if one.at is None:
        return line
    across = min(1.0, one.at / one.of)
    x, y = _point(across, one.values[round(across * (len(one.values) - 1))])
    return f'{line}<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'


def _point(across: float, value: float) -> tuple[float, float]:
    return EDGE + across * (PLOT - 2 * EDGE), HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE)


def _bar(one: Cut, top: float) -> str:
    length = BAR * (1.0 if one.at is None else min(1.0, one.at / one.of))
    kind = "cut" if one.at is None else "kept"
    return (
        f'<text x="{LEFT - 8:g}" y="{top + 11:g}" text-anchor="end">{escape(one.name)}</text>'
        f'<path class="{kind}" d="M{LEFT:g} {top + 1:g}h{length:.1f}v12h-{length:.1f}z"/>'
        f'<text x="{LEFT + BAR + 8:g}" y="{top + 11:g}">{escape(_share(one))}</text>'
    )


def _share(one: Cut) -> str:
    return "whole" if one.at is None else f"{one.at:,} of {one.of:,}"
