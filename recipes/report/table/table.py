"""The table that every view draws: a line for each row, and for several seeds their mean and standard deviation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from compress.core.statistics.shares import holm
from recipes.record import Report, Row
from recipes.report import units
from recipes.report.table.cells import CONSTANT, Cell, constant_cells, mean_cells, no_better, row_cells
from recipes.report.table.speed_points import Point, points, short

__all__ = [
    "Column",
    "Line",
    "Table",
    "groups",
    "has_seeds",
    "is_prediction",
    "is_reused",
    "metric",
    "row_name",
    "table",
]


MANY = 5
"""Tests against one baseline from which on their p-values are adjusted too."""


@dataclass(frozen=True)
class Column:
    """Table column; `keep` orders what narrow views drop, the lowest first."""

    key: str
    title: str
    detail: str = ""
    keep: int = 9
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """Table line: a row, the mean over seeds, the score of one answer for every row, or a failed stage."""

    kind: Literal["row", "mean", "constant", "failed"]
    id: str
    cells: dict[str, Cell]
    row: Row | None = None


@dataclass(frozen=True)
class Table:
    """Results table, independent of the view that draws it."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    caption: str
    prediction: bool = False
    footnotes: tuple[tuple[str, str], ...] = field(default_factory=tuple)


def is_reused(row: Row) -> bool:
    """Whether a finished stage of an earlier run was taken."""
    return row.reused and row.id != "source"


def has_seeds(report: Report) -> bool:
    """Whether any stage was run with several seeds."""
    return any(len(group) > 1 for group in groups(report).values())


def is_prediction(report: Report) -> bool:
    """A report of `check`: nothing was run, so nothing was measured, saved or failed."""
    ran = any(row.quality or row.speed or row.sha256 or row.path for row in report.rows)
    return bool(report.rows) and not ran and not report.failed


def metric(report: Report) -> str:
    """The name of the task's metric."""
    named = [row.quality.metric for row in report.rows if row.quality]
    return named[0] if named else str(report.task.get("metric", "quality"))


def groups(report: Report) -> dict[str, list[Row]]:
    """Rows by id, in the order of the report: one row each, or one for each seed."""
    found: dict[str, list[Row]] = {}
    for row in report.rows:
        found.setdefault(row.id, []).append(row)
    return found


def table(report: Report, *, speeds: int | None = 2) -> Table:
    """Results table.

    Args:
        report: of a run, or of `check`.
        speeds: columns of speed at most; None gives all.
    """
    chosen = points(report, speeds)
    return Table(
        columns=_columns(report, chosen),
        lines=_lines(report, chosen),
        caption=_caption(report),
        prediction=is_prediction(report),
        footnotes=tuple((row_name(row, report), note) for row in report.rows for note in _notes(row)),
    )


def _notes(row: Row) -> list[str]:
    poor = row.quality is not None and not row.quality.beats_a_constant
    return [*row.notes, *([no_better(row.quality)] if poor and row.quality else [])]


def _many(report: Report) -> list[Row]:
    """The rows that are tested against the baseline, where they are so many that one p-value below 0.05 is chance."""
    tested = [row for row in report.rows if row.quality and row.quality.p_value is not None]
    return tested if len(tested) >= MANY else []


def _adjusted(row: Row, report: Report) -> dict[str, Cell]:
    """The cell of the test with Holm's p-value beside it, where there are many tests."""
    tested = _many(report)
    values = [each.quality.p_value or 0.0 for each in tested if each.quality]
    found = [p for each, p in zip(tested, holm(values)) if each is row]
    if not found or row.quality is None:
        return {}
    return {"p": Cell(units.probability(row.quality.p_value or 0.0), units.probability(found[0]))}


def row_name(row: Row, report: Report) -> str:
    """The row's id, with its seed where the report has several of it.

    Args:
        row: of the report.
        report: decides whether the seed is needed.
    """
    return f"{row.id}, seed {row.seed}" if len(groups(report)[row.id]) > 1 else row.id


def _caption(report: Report) -> str:
    if is_prediction(report):
        return "Predicted: nothing was run, so there is no quality and no speed here."
    examples = max((row.quality.examples for row in report.rows if row.quality), default=0)
    judged = f"{metric(report).capitalize()} on {examples:,} examples; " if examples else ""
    words = f"{judged}brackets hold 95 % intervals; pp is percentage points; MB is 10⁶ bytes."
    return words[:1].upper() + words[1:]


def _columns(report: Report, chosen: list[Point]) -> tuple[Column, ...]:
    rows = report.rows
    columns = [Column("id", "stage", "runtime", numeric=False)]
    if has_seeds(report):
        columns.append(Column("seed", "seed"))
    columns.append(Column("parameters", "parameters", keep=1))
    if any(row.size and row.size.delta_bytes for row in rows):
        columns.append(Column("trained", "trained", "share", keep=7))
        columns.append(Column("delta", "delta", keep=6))
    columns.append(Column("size", "size", "smaller by" if any(row.baseline for row in rows) else ""))
    if is_prediction(report):
        columns.append(Column("flops", "FLOPs", "per example", keep=5))
        if any(row.cost and row.cost.peak_bytes for row in rows):
            columns.append(Column("memory", "training memory", "peak", keep=4))
        return tuple(columns)
    columns.append(Column("quality", metric(report), "95 % interval"))
    compared = any(row.baseline for row in rows)
    if compared:
        columns.append(Column("difference", "difference", "to the baseline", keep=8))
    if any(row.quality and row.quality.p_value is not None for row in rows):
        columns.append(Column("p", "test", "Holm" if _many(report) else "", keep=3))
    if any(row.size and row.size.delta_bytes for row in rows):
        columns.append(Column("took", "training", "peak memory", keep=4))
    title = "speed-up" if compared else "median time"
    for index, point in enumerate(chosen):
        columns.append(Column(f"speed {index}", title, short(point), keep=7 if index == 0 else 2))
    return tuple(columns)


def _lines(report: Report, chosen: list[Point]) -> tuple[Line, ...]:
    baseline = next((row for row in report.rows if row.baseline), None)
    lines: list[Line] = []
    for name, rows in groups(report).items():
        own = [{**row_cells(row, baseline, chosen), **_adjusted(row, report)} for row in rows]
        lines += [Line("row", name, cells, row) for row, cells in zip(rows, own)]
        if len(rows) > 1:
            lines.append(Line("mean", name, mean_cells(rows, chosen)))
    constant = next((row.quality for row in report.rows if row.quality and row.quality.constant is not None), None)
    if constant is not None:
        lines.append(Line("constant", CONSTANT, constant_cells(constant)))
    lines += [Line("failed", name, {"id": Cell(name, "failed")}) for name in report.failed]
    return tuple(lines)
