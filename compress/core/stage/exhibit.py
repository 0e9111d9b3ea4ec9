"""Exhibits: figures and tables of a stage for the report, as values without any drawing.

A stage calls `ctx.show(...)`; the report draws the four kinds (heat map, curves, spectrum, table) and needs nothing
else of a method. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from compress.core.values import Settings

__all__ = [
    "Column", "Curves", "Cut", "Entry", "Exhibit", "Heatmap", "Line", "Number", "Spectrum", "Table", "group_names",
    "kept_units", "loss_curve",
]  # fmt: skip

Interval = tuple[float, float]
Unit = Literal["plain", "count", "share", "score", "difference"]


class Heatmap(Settings):
    """Heat map of units in groups, such as the heads of each layer: the score of each, which of them are kept, or both.

    Args:
        title: what the cells are ("importance of the heads"); of kept units, their name ("heads").
        rows: the name of each group.
        columns: the name of each cell of a group, where these have names.
        values: the score of each unit by group; empty where there are no scores. Below 0 is drawn as 0.
        kept: indices of the kept units of each group; None where nothing is pruned.
        of: number of units of each group before.
    """

    kind: Literal["heatmap"] = "heatmap"
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    kept: tuple[tuple[int, ...], ...] | None = None
    of: tuple[int, ...]

    @model_validator(mode="after")
    def _agree(self) -> Heatmap:
        for found in (self.of, self.values or self.rows, self.rows if self.kept is None else self.kept):
            if len(found) != len(self.rows):
                raise ValueError(f"{len(self.rows)} rows have {len(found)} lists")
        if self.values and any(len(row) != width for row, width in zip(self.values, self.of)):
            raise ValueError("a row has more or fewer values than units")
        return self


class Line(Settings):
    """Line of `Curves`: its values, and their standard deviations where there are several seeds."""

    name: str
    values: tuple[float, ...]
    deviations: tuple[float, ...] = ()


class Curves(Settings):
    """Curves over one axis, such as the loss of a training, or a metric against the share of weights that is left.

    Args:
        title: what is drawn.
        lines: the main one first.
        at: position of each value on the axis, in the axis's unit; evenly spaced and drawn small where there is none.
        axis: what the axis is, with its unit.
        falling: whether the axis runs from the largest value down, in steps of equal ratio.
        metric: the name of the metric that the values are, or "".
        level: a value to compare with, drawn as a level line.
        caption: a sentence beneath.
        fact: as of `Table`.
    """

    kind: Literal["curves"] = "curves"
    title: str
    lines: tuple[Line, ...] = Field(min_length=1)
    at: tuple[float, ...] = ()
    axis: str = ""
    falling: bool = False
    metric: str = ""
    level: Line | None = None
    caption: str = ""
    fact: str = ""


class Cut(Settings):
    """Truncated spectrum.

    Args:
        name: of what it is the spectrum ("layer 3").
        values: descending, as shares of the first value, sampled at even distances from the first to the last.
        at: the number of kept values, the rank; None where nothing is truncated.
        of: number of values.
        kept: share of the energy, the sum of squares, that is kept.
    """

    name: str
    values: tuple[float, ...] = Field(min_length=2)
    at: int | None
    of: int
    kept: float


class Spectrum(Settings):
    """Spectra with the point of truncation, such as singular values and a rank.

    Args:
        title: of which matrices ("query").
        values: the name of the values ("singular values").
        cut: the name of the truncation ("rank").
        lines: one for each layer.
    """

    kind: Literal["spectrum"] = "spectrum"
    title: str
    values: str = "singular values"
    cut: str = "rank"
    lines: tuple[Cut, ...] = Field(min_length=1)


class Number(Settings):
    """Number with its unit, and the standard deviation over the seeds or the 95 % interval beside it.

    `share` is shown in percent; `score` and `difference` are of the table's metric.
    """

    value: float
    unit: Unit = "plain"
    deviation: float | None = None
    interval: Interval | None = None


class Entry(Settings):
    """Cell of a table, with a detail in smaller print beneath."""

    main: Number | str = ""
    detail: Number | str = ""


class Column(Settings):
    """Head of a column. Where there is little room, the column of the lowest `keep` is left out first."""

    title: str
    detail: str = ""
    keep: int = 9


class Table(Settings):
    """Table of numbers; a difference whose interval holds 0 is marked as noise.

    Args:
        title: of the section in the report ("tickets").
        columns, rows: a row has an entry for each column; the first names the row.
        metric: the name of the metric that scores and differences are of.
        caption: a sentence beneath.
        notes: (what, words) beneath that.
        fact: the name of a fact (`ctx.note`) with the same numbers in full, which the report's text leaves out.
    """

    kind: Literal["table"] = "table"
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    metric: str = ""
    caption: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    fact: str = ""

    @model_validator(mode="after")
    def _agree(self) -> Table:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"each row needs {len(self.columns)} entries")
        return self


Exhibit = Annotated[Heatmap | Curves | Spectrum | Table, Field(discriminator="kind")]


def group_names(count: int, kinds: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of layers: `layer 0`, ...; where they are of several kinds, `decoder 0` and the like, by the first word.

    Args:
        count: number of layers.
        kinds: the stack of each, `cross-attention` and the like; empty where all are of one.

    Example:
        >>> group_names(2), group_names(3, ["encoder", "encoder", "cross-attention"])
        (('layer 0', 'layer 1'), ('encoder 0', 'encoder 1', 'cross 0'))
    """
    if len(kinds) != count or len(set(kinds)) == 1:
        return tuple(f"layer {number}" for number in range(count))
    words = [kind.split("-")[0] for kind in kinds]
    return tuple(f"{word} {words[:number].count(word)}" for number, word in enumerate(words))


def loss_curve(values: Sequence[float], *, of: str = "") -> tuple[Curves, ...]:
    """Loss curve of a training, or nothing where there are fewer than two values.

    Args:
        values: evenly spaced over the training, none of them infinite.
        of: which training, where it is not the stage's own ("recovery").
    """
    if len(values) < 2:
        return ()
    title = f"{of}, loss curve" if of else "loss curve"
    return (Curves(title=title, lines=(Line(name="loss", values=tuple(values)),)),)


def kept_units(summary: Mapping[str, Any]) -> tuple[Heatmap, ...]:
    """Kept units of each part of a change's summary that lists them: `{"heads": {"kept": ..., "of": 12}}`."""
    return tuple(shown for part, what in sorted(summary.items()) if (shown := _kept(part, what)))


def _kept(part: str, what: Any) -> Heatmap | None:
    if not isinstance(what, Mapping) or not isinstance(what.get("kept"), list | tuple) or "of" not in what:
        return None
    kept, of = what["kept"], what["of"]
    if all(isinstance(unit, int) for unit in kept):
        return Heatmap(title=part, rows=(part,), kept=(tuple(kept),), of=(of,))
    widths = tuple(of) if isinstance(of, list | tuple) else (of,) * len(kept)
    names = group_names(len(kept), what.get("kinds", ()))
    return Heatmap(title=part, rows=names, kept=tuple(tuple(units) for units in kept), of=widths)
