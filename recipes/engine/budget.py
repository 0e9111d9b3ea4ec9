"""Budget verdicts: one row must meet all lines, judged by its confidence intervals. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from recipes.record import BudgetLine, Row, Speed
from recipes.report import units

if TYPE_CHECKING:
    from recipes.file.recipe import Budget

__all__ = ["judge", "main_speed"]

_WORTH = {"met": 2, "not decidable": 1, "missed": 0}


def main_speed(row: Row) -> Speed | None:
    """The point that a speedup is judged at: the largest batch at the longest fixed length, else of any length."""
    points = [point for point in row.speed if point.ratio is not None]
    fixed = [point for point in points if point.sequence_length != "data"]
    return max(fixed or points, key=lambda point: (point.batch_size, _length(point)), default=None)


def _length(point: Speed) -> int:
    return 0 if point.sequence_length == "data" else point.sequence_length


def judge(budget: Budget | None, rows: Sequence[Row]) -> list[BudgetLine]:
    """The lines of the budget for the row that meets most of them; of equals, the one that lost least quality.

    A model with an untrained head has no meaningful quality, and is judged only where there is no other.
    A drop in quality is met when its whole interval is, missed when none of it is, else not decidable with this split.

    Args:
        budget: of the recipe; None gives no lines.
        rows: of the report.
    """
    if budget is None:
        return []
    smaller = [row for row in rows if not row.baseline and row.size is not None]
    answering = [row for row in smaller if row.quality is not None]
    lines = max((_lines(budget, row) for row in answering or smaller), key=_worth, default=[])
    return lines if budget.training_memory is None else [*lines, _training_memory(budget.training_memory, rows)]


def _worth(lines: list[BudgetLine]) -> tuple[int, float]:
    drop = next((line.measured for line in lines if line.name == "metric_drop" and line.measured is not None), 1.0)
    return sum(_WORTH[line.verdict] for line in lines), -drop


def _lines(budget: Budget, row: Row) -> list[BudgetLine]:
    lines = []
    if budget.size is not None:
        lines.append(_size(budget.size, row))
    if budget.speedup is not None:
        lines.append(_speedup(budget.speedup, row))
    if budget.metric_drop is not None:
        lines.append(_drop(budget.metric_drop, row))
    return lines


def _size(asked: int, row: Row) -> BudgetLine:
    measured = row.size.bytes if row.size else None
    met = measured is not None and measured <= asked
    return BudgetLine(name="size", asked=asked, measured=measured, row=row.id, verdict="met" if met else "missed")


def _training_memory(asked: int, rows: Sequence[Row]) -> BudgetLine:
    """The stage that took the most: all of the device's memory; on the CPU what was not there before the stage."""
    costs = [(row.id, row.cost) for row in rows if row.cost and row.cost.trained_parameters and row.cost.peak_bytes]
    taken = [(int(cost.peak_bytes or 0) - (cost.import_bytes or 0), id) for id, cost in costs]
    if not taken:
        return BudgetLine(
            name="training_memory", asked=asked, measured=None, row=None, verdict="not decidable",
            reason="no stage trained",
        )  # fmt: skip
    most, id = max(taken)
    verdict: Literal["met", "missed"] = "met" if most <= asked else "missed"
    return BudgetLine(name="training_memory", asked=asked, measured=most, row=id, verdict=verdict)


def _speedup(asked: float, row: Row) -> BudgetLine:
    point = main_speed(row)
    line = BudgetLine(name="speedup", asked=asked, measured=None, row=row.id, verdict="not decidable")
    if point is None or point.ratio is None:
        return line.model_copy(update={"reason": "the recipe measures no latency"})
    low, high = point.ratio_interval or (point.ratio, point.ratio)
    at = f"batch {point.batch_size}, length {point.sequence_length}"
    verdict = "met" if point.ratio >= asked else "missed"
    close = f"; the interval {low:.2f} to {high:.2f} holds the asked value" if low < asked < high else ""
    return line.model_copy(update={"measured": point.ratio, "verdict": verdict, "reason": at + close})


def _drop(asked: float, row: Row) -> BudgetLine:
    line = BudgetLine(name="metric_drop", asked=asked, measured=None, row=row.id, verdict="not decidable")
    quality = row.quality
    if quality is None or quality.difference is None or quality.difference_interval is None:
        return line.model_copy(update={"reason": "no difference to a baseline was measured"})
    low, high = quality.difference_interval
    verdict = "met" if -low <= asked else "missed" if -high > asked else "not decidable"
    ends = " and ".join(units.drop(quality.metric, -end) for end in (high, low))
    reason = "" if verdict != "not decidable" else f"this split shows only that it lies between {ends}"
    return line.model_copy(update={"measured": -quality.difference, "verdict": verdict, "reason": reason})
