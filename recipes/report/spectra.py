"""Singular values of what a stage factorized, and the rank of each. Built from numbers alone, so safe to embed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from recipes.report import units
from recipes.report.pictures import Picture

__all__ = ["SPECTRA", "rank_pairs", "spectra"]

SPECTRA = "spectra"
"""The fact that holds them: a list with `role`, `block`, `rank`, `of`, `kept_energy` and `singular_values` of each."""
PLOT, HEIGHT, EDGE = 180.0, 96.0, 4.0
LINE, LEFT, BAR, RIGHT = 17.0, 258.0, 90.0, 100.0
Matrix = dict[str, Any]


def spectra(facts: dict[str, Any]) -> list[Picture]:
    """For each role one picture: a curve of singular values for each layer, with a dot at its rank, and the ranks."""
    return [_picture(role, listed) for role, listed in _by_role(facts).items()]


def rank_pairs(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """For each role its ranks and the energy that they keep, in words."""
    return [(f"rank of {role}", _ranks(listed)) for role, listed in _by_role(facts).items()]


def _by_role(facts: dict[str, Any]) -> dict[str, list[Matrix]]:
    """The matrices that were noted, by role; what is no such list is passed over."""
    found: dict[str, list[Matrix]] = {}
    listed = facts.get(SPECTRA)
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and len(one.get("singular_values") or ()) > 1:
            found.setdefault(str(one["role"]), []).append(one)
    return found


def _ranks(listed: Sequence[Matrix]) -> str:
    ranks = [one["rank"] for one in listed if one["rank"] is not None]
    if not ranks:
        return "whole: factors would be no smaller"
    low, high = min(ranks), max(ranks)
    energy = min(one["kept_energy"] for one in listed)
    whole = f", {len(listed) - len(ranks)} whole" if len(ranks) < len(listed) else ""
    words = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    kept = f"at least {units.decimal(100 * energy, 1)} % of the energy"
    return f"{words} of {max(one['of'] for one in listed):,}{whole}; {kept}"


def _picture(role: str, listed: Sequence[Matrix]) -> Picture:
    height = max(HEIGHT, LINE * len(listed))
    inside = [f'<path class="ground" d="M{EDGE} {HEIGHT - EDGE}h{PLOT - 2 * EDGE}"/>']
    inside += [_curve(one, 1 - 0.7 * place / len(listed)) for place, one in enumerate(listed)]
    inside += [_bar(one, place * LINE) for place, one in enumerate(listed)]
    words = f"singular values of {role}: " + "; ".join(f"{_name(one)} {_share(one)}" for one in listed)
    width = LEFT + BAR + RIGHT
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    svg = f'<svg class="cuts spectra" role="img" {size}><title>{escape(words)}</title>{"".join(inside)}</svg>'
    caption = f"singular values of {role}, each layer a line and each a share of its first; dots and bars are the ranks"
    return Picture(caption, svg)


def _curve(one: Matrix, strength: float) -> str:
    """A line from the first singular value, at the top, to the last; a dot where it is cut."""
    values = [float(value) for value in one["singular_values"]]
    points = [_point(place / (len(values) - 1), value) for place, value in enumerate(values)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = f'<polyline class="line" stroke-opacity="{strength:.2f}" points="{drawn}"/>'
    if one["rank"] is None:
        return line
    across = min(1.0, one["rank"] / one["of"])
    x, y = _point(across, values[round(across * (len(values) - 1))])
    return f'{line}<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'


def _point(across: float, value: float) -> tuple[float, float]:
    return EDGE + across * (PLOT - 2 * EDGE), HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE)


def _bar(one: Matrix, top: float) -> str:
    length = BAR * (1.0 if one["rank"] is None else min(1.0, one["rank"] / one["of"]))
    kind = "cut" if one["rank"] is None else "kept"
    return (
        f'<text x="{LEFT - 8:g}" y="{top + 11:g}" text-anchor="end">{escape(_name(one))}</text>'
        f'<path class="{kind}" d="M{LEFT:g} {top + 1:g}h{length:.1f}v12h-{length:.1f}z"/>'
        f'<text x="{LEFT + BAR + 8:g}" y="{top + 11:g}">{escape(_share(one))}</text>'
    )


def _name(one: Matrix) -> str:
    return "table" if one["block"] is None else f"layer {one['block']}"


def _share(one: Matrix) -> str:
    return "whole" if one["rank"] is None else f"{one['rank']:,} of {one['of']:,}"
