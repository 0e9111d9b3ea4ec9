"""Layout of labels in a plot, so that they overlap neither each other nor the points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from recipes.record import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["place_labels"]

FONT = 10.0
Box = tuple[float, float, float, float]
"""Left, bottom, right, top in points of print."""


class Labelled(Protocol):
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def label(self) -> str: ...
    @property
    def across(self) -> Interval | None: ...
    @property
    def up(self) -> Interval: ...


def place_labels(figure: Figure, axes: Axes, marks: Iterable[Labelled], *, color: str) -> None:
    """Annotate each mark with its label, at the first of several offsets that is free.

    Args:
        figure: laid out already or not; it is drawn once to know its sizes.
        axes: in it.
        marks: points with labels and intervals.
        color: of the text.
    """
    figure.draw_without_rendering()
    scale = 72.0 / figure.get_dpi()
    ends = axes.transAxes.transform([(0, 0), (1, 1)]) * scale
    room: Box = (ends[0][0], ends[0][1], ends[1][0], ends[1][1])
    listed = list(marks)
    centres = [axes.transData.transform((mark.x, mark.y)) * scale for mark in listed]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    taken += [box for mark in listed for box in _bars(axes, mark, scale)]
    for mark, (x, y) in zip(listed, centres):
        if mark.label:
            offset = _free(x, y, len(mark.label) * FONT * 0.54, room, taken)
            axes.annotate(mark.label, (mark.x, mark.y), offset, textcoords="offset points", fontsize=FONT, color=color)


def _bars(axes: Axes, mark: Labelled, scale: float) -> list[Box]:
    """The boxes of a mark's intervals."""
    low, high = (axes.transData.transform((mark.x, end)) * scale for end in mark.up)
    boxes = [(low[0] - 1, low[1], high[0] + 1, high[1])]
    if mark.across:
        left, right = (axes.transData.transform((end, mark.y)) * scale for end in mark.across)
        boxes.append((left[0], left[1] - 1, right[0], right[1] + 1))
    return boxes


def _free(x: float, y: float, width: float, room: Box, taken: list[Box]) -> tuple[float, float]:
    """The offset of the text's left baseline; its box joins `taken`. Larger offsets come last."""
    offsets = [(side, up) for up in (3, -10, 14, -21, 25, -32) for side in (6.0, -6.0 - width)]
    best = min(offsets, key=lambda offset: _covered(_box(x, y, offset, width), room, taken))
    taken.append(_box(x, y, best, width))
    return best


def _box(x: float, y: float, offset: tuple[float, float], width: float) -> Box:
    left, bottom = x + offset[0], y + offset[1] - 2
    return (left, bottom, left + width, bottom + FONT + 2)


def _covered(box: Box, room: Box, taken: list[Box]) -> float:
    """Area that would be covered twice, with what sticks out of the axes."""
    area = sum(_overlap(box, other) for other in taken)
    return area + (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, room)


def _overlap(one: Box, two: Box) -> float:
    across = min(one[2], two[2]) - max(one[0], two[0])
    up = min(one[3], two[3]) - max(one[1], two[1])
    return across * up if across > 0 and up > 0 else 0.0
