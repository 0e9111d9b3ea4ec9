"""Heat maps of what each unit was found to be worth, and which went. Built from numbers alone, so safe to embed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from recipes.report.pictures import CELL, GAP, LEFT, MOST_CELLS, RIGHT, Picture, group_names

__all__ = ["heat_maps"]

STRIP = 4
LEVELS = 10


def heat_maps(facts: dict[str, Any], cut: dict[str, Any]) -> list[Picture]:
    """One map for each part in `facts["importance"]`: a line for each layer, the stronger a cell the more it is worth.

    Heads and layers have a cell each, a cut one with a line through it. Where there are more units, as neurons, those
    of a layer are sorted by worth, the best first, and each cell is the mean of its share of them; an outline stands
    where all of a cell's went.
    """
    found = facts.get("importance")
    if not isinstance(found, dict):
        return []
    return [_map(part, scores, cut.get(part)) for part, scores in found.items() if _are_scores(scores)]


def _are_scores(scores: Any) -> bool:
    rows = isinstance(scores, list) and scores and all(isinstance(row, list) and row for row in scores)
    return bool(rows) and all(isinstance(v, int | float) and math.isfinite(v) and v >= 0 for row in scores for v in row)


def _kept(what: Any, scores: list[list[float]]) -> list[frozenset[int]]:
    """The units of each group that stayed; all where it is not known."""
    kept = what.get("kept") if isinstance(what, dict) else None
    if isinstance(kept, list) and kept and all(isinstance(one, int) for one in kept) and len(scores) == 1:
        return [frozenset(kept)]
    if isinstance(kept, list) and len(kept) == len(scores) and all(isinstance(one, list) for one in kept):
        return [frozenset(one) for one in kept]
    return [frozenset(range(len(row))) for row in scores]


def _map(part: str, scores: list[list[float]], what: Any) -> Picture:
    kept = _kept(what, scores)
    names = group_names(what, len(scores)) if len(scores) > 1 else [part]
    top = max(max(row) for row in scores) or 1.0
    widest = max(map(len, scores))
    exact = widest <= MOST_CELLS
    width = min(widest, MOST_CELLS) * (CELL + GAP if exact else STRIP) + LEFT + RIGHT
    lines, words = [], []
    for number, (row, left) in enumerate(zip(scores, kept)):
        y = number * (CELL + GAP)
        name = names[number]
        lines.append(_text(LEFT - 8, y, name, "end") + _text(width - RIGHT + 8, y, f"{len(left):,} of {len(row):,}"))
        lines.append(_cells(row, left, y, top) if exact else _strip(row, left, y, top))
        best = max(range(len(row)), key=row.__getitem__)
        words.append(f"{name}: mean {sum(row) / len(row):.3g}, most {max(row):.3g} ({best}), {len(left)} kept")
    svg = (
        f'<svg class="cuts heat" role="img" viewBox="0 0 {width:g} {len(scores) * (CELL + GAP):g}" width="{width:g}" '
        f'height="{len(scores) * (CELL + GAP):g}"><title>{escape("; ".join(words))}</title>{"".join(lines)}</svg>'
    )
    meaning = "a line through it is cut" if exact else "the best of a layer first, an outline is cut"
    return Picture(f"worth of {'each of the ' if exact else ''}{part}: the stronger the more, {meaning}", svg, exact)


def _cells(row: Sequence[float], kept: frozenset[int], y: float, top: float) -> str:
    filled: dict[int, str] = {}
    gone = ""
    for unit, value in enumerate(row):
        x = LEFT + unit * (CELL + GAP)
        level = round(LEVELS * value / top)
        filled[level] = filled.get(level, "") + f"M{x} {y}h{CELL}v{CELL}h-{CELL}z"
        if unit not in kept:
            gone += f"M{x} {y + CELL}l{CELL} -{CELL}"
    return _filled(filled) + (f'<path class="cut gone" d="{gone}"/>' if gone else "")


def _strip(row: Sequence[float], kept: frozenset[int], y: float, top: float) -> str:
    """Cells of neighbours in the order of worth."""
    order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
    filled: dict[int, str] = {}
    gone = ""
    for cell in range(MOST_CELLS):
        members = order[cell * len(row) // MOST_CELLS : (cell + 1) * len(row) // MOST_CELLS]
        if not members:
            continue
        x = LEFT + cell * STRIP
        if kept.isdisjoint(members):
            gone += f"M{x} {y + 0.5}h{STRIP}M{x} {y + CELL - 0.5}h{STRIP}"
        level = round(LEVELS * sum(row[unit] for unit in members) / len(members) / top)
        filled[level] = filled.get(level, "") + f"M{x} {y}h{STRIP}v{CELL}h-{STRIP}z"
    return _filled(filled) + (f'<path class="cut gone" d="{gone}"/>' if gone else "")


def _filled(levels: dict[int, str]) -> str:
    return "".join(
        f'<path class="kept" opacity="{max(level, 0.4) / LEVELS:.2f}" d="{d}"/>' for level, d in sorted(levels.items())
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y + CELL - 3:g}" text-anchor="{anchor}">{escape(words)}</text>'
