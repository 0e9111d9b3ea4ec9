"""Heat maps of importance: each unit's score, and which were pruned. Built from numbers alone, so safe to embed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from compress.core.stage.exhibit import Heatmap
from recipes.report import units
from recipes.report.plots.pruned_maps import CELL, GAP, LEFT, MOST_CELLS, RIGHT, Picture

__all__ = ["heat_map"]

STRIP = 4
LEVELS = 10


def heat_map(shown: Heatmap) -> Picture:
    """Heat map with a line for each group: the stronger a cell, the higher its importance.

    Heads and layers have a cell each, a cut one with a line through it. Where there are more units, as neurons, those
    of a group are sorted, the highest score first, and each cell is the mean of its share of them; an outline stands
    where all of a cell's went.
    """
    scores = shown.values
    every = [frozenset(range(width)) for width in shown.of]
    kept = every if shown.kept is None else [frozenset(units) for units in shown.kept]
    widest = max(shown.of)
    exact = widest <= MOST_CELLS
    width = min(widest, MOST_CELLS) * (CELL + GAP if exact else STRIP) + LEFT + RIGHT
    top = max(map(max, scores))
    top = top if top > 0 else 1.0
    lines, words = [], []
    for number, (name, row, left) in enumerate(zip(shown.rows, scores, kept)):
        y = number * (CELL + GAP)
        side = f"{len(left):,} of {len(row):,}" if shown.kept is not None else ""
        lines += [_text(LEFT - 8, y, name, "end"), _text(width - RIGHT + 8, y, side)]
        lines.append(_cells(row, left, y, top) if exact else _strip(row, left, y, top))
        best = max(range(len(row)), key=row.__getitem__)
        words.append(f"{name}: mean {sum(row) / len(row):.3g}, most {max(row):.3g} ({best}), {len(left)} kept")
    svg = (
        f'<svg class="cuts heat" role="img" viewBox="0 0 {width:g} {len(scores) * (CELL + GAP):g}" width="{width:g}" '
        f'height="{len(scores) * (CELL + GAP):g}"><title>{escape("; ".join(words))}</title>{"".join(lines)}</svg>'
    )
    return Picture(_caption(shown, exact), svg)


def _caption(shown: Heatmap, exact: bool) -> str:
    low, high = min(map(min, shown.values)), max(map(max, shown.values))
    columns = f"; from left to right {', '.join(shown.columns)}" if shown.columns else ""
    cut = "a line through a cell: cut" if exact else "the highest of each layer first, an outline: cut"
    gone = "" if shown.kept is None else f"; {cut}"
    values = f"from {units.plain_number(low)} to {units.plain_number(high)}, the stronger the higher"
    return f"{shown.title[:1].upper()}{shown.title[1:]}, {values}{columns}{gone}."


def _cells(row: Sequence[float], kept: frozenset[int], y: float, top: float) -> str:
    filled: dict[int, str] = {}
    gone = ""
    for unit, value in enumerate(row):
        x = LEFT + unit * (CELL + GAP)
        level = round(LEVELS * max(value, 0.0) / top)
        filled[level] = filled.get(level, "") + f"M{x} {y}h{CELL}v{CELL}h-{CELL}z"
        if unit not in kept:
            gone += f"M{x} {y + CELL}l{CELL} -{CELL}"
    return _filled(filled) + (f'<path class="cut gone" d="{gone}"/>' if gone else "")


def _strip(row: Sequence[float], kept: frozenset[int], y: float, top: float) -> str:
    """Cells of neighbours in the order of their scores."""
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
        level = round(LEVELS * max(sum(row[unit] for unit in members), 0.0) / len(members) / top)
        filled[level] = filled.get(level, "") + f"M{x} {y}h{STRIP}v{CELL}h-{STRIP}z"
    return _filled(filled) + (f'<path class="cut gone" d="{gone}"/>' if gone else "")


def _filled(levels: dict[int, str]) -> str:
    return "".join(
        f'<path class="kept" opacity="{max(level, 0.4) / LEVELS:.2f}" d="{d}"/>' for level, d in sorted(levels.items())
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y + CELL - 3:g}" text-anchor="{anchor}">{escape(words)}</text>'
