"""Cells of the results table: a number with its unit, its confidence interval, and whether the difference is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from recipes.record import Quality, Row, Speed
from recipes.report import units
from recipes.report.table.speed_points import Point, speed_at

__all__ = [
    "CONSTANT",
    "Cell",
    "Tone",
    "constant_cells",
    "difference_cell",
    "mean_cells",
    "no_better",
    "quality_cell",
    "row_cells",
    "speed_cell",
]

CONSTANT = "one answer for all"
"""Name of the line that a model must beat."""
Tone = Literal["", "gain", "loss", "noise"]


@dataclass(frozen=True)
class Cell:
    """Table cell: `text` is the number with its unit, `detail` its interval, `extra` for wide views."""

    text: str = units.DASH
    detail: str = ""
    extra: str = ""
    tone: Tone = ""


def row_cells(row: Row, baseline: Row | None, chosen: list[Point]) -> dict[str, Cell]:
    """Cells of one row, by column key.

    Args:
        row: the row of the report.
        baseline: the row that its size is compared to; None where there is none.
        chosen: measured points, each of which gives a column `speed 0`, `speed 1`, ...
    """
    return {**_cells(row, baseline), **_speed_cells(row, chosen)}


def _cells(row: Row, baseline: Row | None) -> dict[str, Cell]:
    cells = {"id": Cell(row.id, _runtime(row)), "seed": Cell(units.DASH if row.seed is None else str(row.seed))}
    if row.size:
        cells["parameters"] = Cell() if row.size.parameters is None else Cell(units.count(row.size.parameters))
        cells["size"] = Cell(units.bytes_(row.size.bytes), _smaller(row, baseline))
        cells["delta"] = Cell(units.bytes_(row.size.delta_bytes)) if row.size.delta_bytes else Cell()
    if row.size and row.cost and row.cost.trained_parameters:
        cells["trained"] = _trained(row.cost.trained_parameters, row.size.parameters)
        peak = f"{units.bytes_(row.cost.peak_bytes)}" if row.cost.peak_bytes else ""
        cells["took"] = Cell(units.seconds(row.cost.seconds), peak)
    if row.flops:
        cells["flops"] = Cell(units.flops(row.flops))
    if row.cost and row.cost.peak_bytes:
        cells["memory"] = Cell(units.bytes_(row.cost.peak_bytes))
    if row.quality:
        cells["quality"] = quality_cell(row.quality)
        if row.quality.p_value is not None:
            cells["p"] = Cell(units.probability(row.quality.p_value))
        cells["difference"] = Cell("baseline") if row.baseline else difference_cell(row.quality)
    return cells


def _trained(parameters: int, of: int | None) -> Cell:
    share = f"{units.plain_number(100 * parameters / of, 2)} %" if of and parameters < of else ""
    return Cell(units.count(parameters), share)


def _runtime(row: Row) -> str:
    named = row.runtime if row.precision == "fp32" and row.runtime == "pytorch" else f"{row.runtime} {row.precision}"
    return "" if named == "pytorch" else named


def _smaller(row: Row, baseline: Row | None) -> str:
    if not (baseline and baseline.size and row.size and row.size.bytes) or baseline.id == row.id:
        return ""
    smaller = baseline.size.bytes / row.size.bytes
    return "" if 0.995 < smaller < 1.005 else units.ratio(smaller)


def quality_cell(quality: Quality) -> Cell:
    """The metric with its 95 % interval."""
    name = quality.metric
    places = (lambda x: units.decimal(x * 100, 1)) if units.is_percent(name) else (lambda x: units.decimal(x, 3))
    extra = "" if quality.accuracy is None else f"accuracy {units.score('accuracy', quality.accuracy)}"
    return Cell(units.score(name, quality.value), units.interval(quality.interval, places), extra)


def no_better(quality: Quality) -> str:
    """What is said of a row that is not shown to do better than one answer for every row."""
    name, share = quality.metric, quality.commonest
    words = "not shown to be better than one answer for every row"
    if quality.constant is not None:
        words += f" ({name} {units.score(name, quality.constant)})"
    return words if share is None else f"{words}: {units.decimal(100 * share, 0)} % of its answers are the same"


def constant_cells(quality: Quality) -> dict[str, Cell]:
    """Cells of the best score that one answer for every row could reach, by column key."""
    known = units.DASH if quality.constant is None else units.score(quality.metric, quality.constant)
    return {"id": Cell(CONSTANT), "quality": Cell(known)}


def difference_cell(quality: Quality) -> Cell:
    """A difference that the data do not show is marked as such and has no colour."""
    name, value, limits = quality.metric, quality.difference, quality.difference_interval
    if value is None:
        return Cell()
    detail = units.interval(limits, lambda x: units.point(name, x)) if limits else ""
    p_value = units.probability(quality.p_value) if quality.p_value is not None else ""
    tone: Tone = "noise"
    if units.is_shown(limits, 0.0, quality.p_value):
        tone = "gain" if value > 0 else "loss"
    return Cell(units.difference(name, value), detail, p_value, tone)


def _speed_cells(row: Row, chosen: list[Point]) -> dict[str, Cell]:
    return {f"speed {index}": speed_cell(speed_at(row, point), row) for index, point in enumerate(chosen)}


def speed_cell(speed: Speed | None, row: Row) -> Cell:
    """Speed-up over the baseline, with its interval; the baseline's own cell has its latency.

    Args:
        speed: measured at one point; None where it was not.
        row: the row that it belongs to.
    """
    if speed is None:
        return Cell()
    took = units.seconds(speed.median_seconds)
    if row.baseline or speed.ratio is None:
        return Cell("baseline" if row.baseline else took, "", took if row.baseline else "")
    limits = speed.ratio_interval
    tone: Tone = "noise"
    if units.is_shown(limits, 1.0):
        tone = "gain" if speed.ratio > 1 else "loss"
    return Cell(units.ratio(speed.ratio), units.interval(limits, _short) if limits else "", took, tone)


def _short(value: float) -> str:
    return units.ratio(value).removesuffix(units.TIMES)


def mean_cells(rows: list[Row], chosen: list[Point]) -> dict[str, Cell]:
    """Mean and standard deviation over the seeds, by column key.

    Args:
        rows: one stage's, one for each seed.
        chosen: measured points, as in `row_cells`.
    """
    name = next((row.quality.metric for row in rows if row.quality), "")
    cells = {"id": Cell(rows[0].id, f"mean of {len(rows)}"), "seed": Cell("mean", "± sd")}
    cells["size"] = _spread([row.size.bytes for row in rows if row.size], units.bytes_)
    cells["parameters"] = _spread(
        [row.size.parameters for row in rows if row.size and row.size.parameters], units.count
    )
    cells["delta"] = _spread([row.size.delta_bytes for row in rows if row.size and row.size.delta_bytes], units.bytes_)
    first = rows[0]
    if first.cost and first.cost.trained_parameters and first.size:
        cells["trained"] = _trained(first.cost.trained_parameters, first.size.parameters)
        cells["took"] = _spread([row.cost.seconds for row in rows if row.cost], units.seconds)
    values = [row.quality.value for row in rows if row.quality]
    cells["quality"] = _spread(values, lambda x: units.score(name, x))
    gaps = [row.quality.difference for row in rows if row.quality and row.quality.difference is not None]
    cells["difference"] = _spread(
        gaps, lambda x: units.difference(name, x), lambda x: units.difference(name, x).lstrip("+")
    )
    for index, point in enumerate(chosen):
        speeds = [speed.ratio for row in rows if (speed := speed_at(row, point)) and speed.ratio is not None]
        cells[f"speed {index}"] = _spread(speeds, units.ratio)
    return cells


def _spread(
    values: list[float] | list[int], show: Callable[[float], str], width: Callable[[float], str] | None = None
) -> Cell:
    if not values:
        return Cell()
    deviation = stdev(values) if len(set(values)) > 1 else 0.0
    return Cell(show(mean(values)), f"± {(width or show)(deviation)}" if deviation else "")
