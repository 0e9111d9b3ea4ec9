"""Pictures of what was cut: which layers, heads and neurons are left. Built from numbers alone, so safe to embed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["CELL", "GAP", "LEFT", "MOST_CELLS", "RIGHT", "Picture", "group_names", "pictures"]

CELL, GAP, LEFT, RIGHT = 14, 3, 58, 92
STRIP = 4
MOST_CELLS = 64
"""A layer with more units than this is drawn as a strip; each cell's strength is the share of its units kept."""


@dataclass(frozen=True)
class Picture:
    """`exact`: each unit has a cell of its own. The drawing's title says in words what it shows."""

    part: str
    svg: str
    exact: bool = True


def pictures(cut: dict[str, Any]) -> list[Picture]:
    """One picture for each part in `row.cut` that lists what was kept; other parts are left to the facts."""
    return [drawn for part, what in sorted(cut.items()) if (drawn := _picture(part, what))]


def _picture(part: str, what: Any) -> Picture | None:
    if not isinstance(what, dict) or not isinstance(what.get("kept"), list) or "of" not in what:
        return None
    kept, of = what["kept"], what["of"]
    if _are_numbers(kept):
        return _single(part, kept, of) if isinstance(of, int) else None
    widths = of if isinstance(of, list) else [of] * len(kept)
    if not kept or len(widths) != len(kept) or not all(_are_numbers(one) for one in kept) or not _are_numbers(widths):
        return None
    return _by_layer(part, [frozenset(one) for one in kept], widths, group_names(what, len(kept)))


def group_names(what: Any, count: int) -> list[str]:
    """`layer 0`, ...; where the layers are of several kinds, `decoder 0` and the like, the first word of each kind."""
    kinds = what.get("kinds") if isinstance(what, dict) else None
    if not isinstance(kinds, list) or len(kinds) != count:
        return [f"layer {number}" for number in range(count)]
    words = [str(kind).split("-")[0] for kind in kinds]
    return [f"{word} {words[:number].count(word)}" for number, word in enumerate(words)]


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, int) and one >= 0 for one in values)


def _single(part: str, kept: Sequence[int], of: int) -> Picture:
    """One line: the layers that were kept, each with its number."""
    columns = _columns([of])
    width = columns * _pitch(of) + LEFT + RIGHT
    inside = [_side(part, f"{len(kept)} of {of}", 0, width), _cells(frozenset(kept), of, 0, columns)]
    if of <= MOST_CELLS:
        middle = LEFT + CELL / 2
        inside += [_label(middle + index * _pitch(of), CELL + 12, str(index), "middle") for index in range(of)]
    words = f"{part}: {len(kept)} of {of} kept ({', '.join(map(str, kept)) or 'none'})"
    return Picture(part, _svg(width, CELL + 16, words, "".join(inside)), of <= MOST_CELLS)


def _by_layer(part: str, kept: Sequence[frozenset[int]], widths: Sequence[int], names: Sequence[str]) -> Picture:
    """A line for each layer."""
    columns, widest = _columns(widths), max(widths)
    width = columns * _pitch(widest) + LEFT + RIGHT
    lines, words = [], []
    for layer, (one, of) in enumerate(zip(kept, widths)):
        top = layer * (CELL + GAP)
        lines.append(_side(names[layer], f"{len(one):,} of {of:,}", top, width))
        lines.append(_cells(one, of, top, columns))
        words.append(f"{names[layer]} keeps {len(one):,} of {of:,}")
    drawn = _svg(width, len(kept) * (CELL + GAP), f"{part}: {'; '.join(words)}", "".join(lines))
    return Picture(part, drawn, widest <= MOST_CELLS)


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
