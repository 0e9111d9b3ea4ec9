"""Maps of what was pruned: which layers, heads and neurons are left. Built from numbers alone, so safe to embed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from compress.core.stage.exhibit import Heatmap

__all__ = ["CELL", "GAP", "LEFT", "MOST_CELLS", "RIGHT", "Picture", "kept_map"]

CELL, GAP, LEFT, RIGHT = 14, 3, 58, 92
STRIP = 4
MOST_CELLS = 64
"""A layer with more units than this is drawn as a strip; each cell's strength is the share of its units kept."""


@dataclass(frozen=True)
class Picture:
    """A small drawing with its caption; the drawing's title says in words what it shows."""

    caption: str
    svg: str


def kept_map(shown: Heatmap) -> Picture:
    """Map of kept units, a line for each group: filled where a unit is kept. Drawn for groups without scores."""
    kept = [frozenset(range(width)) for width in shown.of]
    if shown.kept is not None:
        kept = [frozenset(units) for units in shown.kept]
    exact = max(shown.of) <= MOST_CELLS
    meaning = "filled is kept" if exact else "the stronger a cell, the more of its units are kept"
    drawn = _single(shown.title, sorted(kept[0]), shown.of[0]) if len(kept) == 1 else _by_group(shown, kept)
    return Picture(f"{shown.title[:1].upper()}{shown.title[1:]} left after this stage: {meaning}.", drawn)


def _single(part: str, kept: Sequence[int], of: int) -> str:
    """One line: the layers that were kept, each with its number."""
    columns = _columns([of])
    width = columns * _pitch(of) + LEFT + RIGHT
    inside = [_side(part, f"{len(kept)} of {of}", 0, width), _cells(frozenset(kept), of, 0, columns)]
    if of <= MOST_CELLS:
        middle = LEFT + CELL / 2
        inside += [_label(middle + index * _pitch(of), CELL + 12, str(index), "middle") for index in range(of)]
    words = f"{part}: {len(kept)} of {of} kept ({', '.join(map(str, kept)) or 'none'})"
    return _svg(width, CELL + 16, words, "".join(inside))


def _by_group(shown: Heatmap, kept: Sequence[frozenset[int]]) -> str:
    """A line for each layer."""
    columns, widest = _columns(shown.of), max(shown.of)
    width = columns * _pitch(widest) + LEFT + RIGHT
    lines, words = [], []
    for index, (name, one, of) in enumerate(zip(shown.rows, kept, shown.of)):
        top = index * (CELL + GAP)
        lines.append(_side(name, f"{len(one):,} of {of:,}", top, width))
        lines.append(_cells(one, of, top, columns))
        words.append(f"{name} keeps {len(one):,} of {of:,}")
    return _svg(width, len(kept) * (CELL + GAP), f"{shown.title}: {'; '.join(words)}", "".join(lines))


def _pitch(of: int) -> float:
    return CELL + GAP if of <= MOST_CELLS else STRIP


def _columns(widths: Sequence[int]) -> int:
    return min(max(widths), MOST_CELLS)


def _cells(kept: frozenset[int], of: int, top: float, columns: int) -> str:
    """Filled where kept, an outline where cut; a strip of shares where there are too many to draw each."""
    if of > MOST_CELLS:
        return _strip(kept, of, top, columns)
    full = "".join(_square(index, top, CELL) for index in range(of) if index in kept)
    empty = "".join(_square(index, top, CELL - 1, 0.5) for index in range(of) if index not in kept)
    return f'<path class="kept" d="{full}"/><path class="cut" d="{empty}"/>'


def _square(index: int, top: float, side: float, inset: float = 0) -> str:
    return f"M{LEFT + index * (CELL + GAP) + inset} {top + inset}h{side}v{side}h-{side}z"


def _strip(kept: frozenset[int], of: int, top: float, columns: int) -> str:
    """Cells of five levels of strength, joined by level so that a wide layer stays small."""
    counts = [0] * columns
    for index in kept:
        counts[min(index * columns // of, columns - 1)] += 1
    levels: dict[int, list[str]] = {}
    for index, count in enumerate(counts):
        full = (index + 1) * of // columns - index * of // columns
        level = min(round(5 * count / full), 5) if full else 0
        levels.setdefault(level, []).append(f"M{LEFT + index * STRIP} {top}h{STRIP}v{CELL}h-{STRIP}z")
    drawn = [
        f'<path class="kept" opacity="{max(level, 0.25) / 5:.2f}" d="{"".join(d)}"/>'
        for level, d in sorted(levels.items())
    ]
    return "".join(drawn)


def _side(name: str, share: str, top: float, width: float) -> str:
    return _label(LEFT - 8, top + CELL - 3, name, "end") + _label(width - RIGHT + 8, top + CELL - 3, share, "start")


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: float, height: float, title: str, inside: str) -> str:
    return (
        f'<svg class="cuts" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )
