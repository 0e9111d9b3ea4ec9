"""What to ship: the row that a run achieved, what is said against it, and the lines of code that call it."""

from __future__ import annotations

from dataclasses import dataclass

from recipes.record import Report, Row
from recipes.report import units
from recipes.report.headline import achieved, is_lost
from recipes.report.table.cells import no_better
from recipes.report.table.table import is_prediction, row_name

__all__ = ["Shipping", "shipping"]


@dataclass(frozen=True)
class Shipping:
    """Row to ship.

    Attributes:
        name: of the row, with its seed where there are several.
        path: of its directory, in the run's.
        words: sentences: size, budget, and whether its metric fell.
        code: lines that call it.
    """

    name: str
    path: str
    words: str
    code: str


def shipping(report: Report) -> Shipping | None:
    """The row of the headline, else the baseline; None where nothing was run, or it has no head."""
    row = None if is_prediction(report) else achieved(report) or _baseline(report)
    if row is None or not row.path or not row.usage:
        return None
    words = [_size(row), _budget(report, row), _lost(row)]
    return Shipping(row_name(row, report), row.path, " ".join(part for part in words if part), row.usage)


def _baseline(report: Report) -> Row | None:
    return next((row for row in report.rows if row.baseline), None)


def _size(row: Row) -> str:
    if row.size is None:
        return ""
    if row.size.delta_bytes:
        whole = units.bytes_(row.size.bytes)
        return f"A delta of {units.bytes_(row.size.delta_bytes)}; with its base, which is needed too, {whole}."
    apart = f", and {units.bytes_(row.size.tokenizer_bytes)} of tokenizer" if row.size.tokenizer_bytes else ""
    return f"{units.bytes_(row.size.bytes)} of model files{apart}."


def _budget(report: Report, row: Row) -> str:
    lines = [line for line in report.budget if line.row == row.id]
    other = [f"{line.name.replace('_', ' ')} {line.verdict}" for line in lines if line.verdict != "met"]
    if not lines:
        return ""
    return f"Of the budget: {', '.join(other)}." if other else "It meets the budget."


def _lost(row: Row) -> str:
    """That the metric fell; the headline names such a row only for a budget, or where every row lost."""
    if row.quality is None or not is_lost(row.quality):
        return ""
    if not row.quality.beats_a_constant:
        return f"Mind that its answers are {no_better(row.quality)}."
    fell = units.drop(row.quality.metric, -(row.quality.difference or 0.0))
    return f"Mind that its {row.quality.metric} is below the baseline's by {fell}, more than noise."
