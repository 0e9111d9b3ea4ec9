"""Budget verdicts: one row must meet all lines, judged by its confidence intervals. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Literal

from compress.core.statistics.over_seeds import difference_over_seeds
from compress.core.statistics.shares import NORMAL_975, Interval
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
    """The lines of the budget for one row, which evaluation has no part in choosing.

    Of the rows that meet most of size and speed-up it is the one with the best metric on *select* (of equals the
    smallest), or the one that the budget names; it is judged once on evaluation, and over its seeds by their mean. A
    model with an untrained head has no meaningful quality, and is judged only where there is no other. A drop in
    quality is met when its whole interval is, missed when none of it is, else not decidable with this split.

    Args:
        budget: of the recipe; None gives no lines.
        rows: of the report.
    """
    if budget is None:
        return []
    smaller = [row for row in rows if not row.baseline and row.size is not None]
    answering = [row for row in smaller if row.quality is not None] or smaller
    named: dict[str, list[Row]] = {}
    for row in answering:
        if budget.row in (None, row.id):
            named.setdefault(row.id, []).append(row)
    lines = _of_one(budget, list(named.values())) if named else []
    return lines if budget.training_memory is None else [*lines, _training_memory(budget.training_memory, rows)]


def _of_one(budget: Budget, candidates: list[list[Row]]) -> list[BudgetLine]:
    """The lines of the candidate that is chosen, each the rows of all seeds."""
    measured = [_measured_lines(budget, seeds) for seeds in candidates]
    most = max(sum(_WORTH[line.verdict] for line in lines) for lines in measured)
    best = [n for n, lines in enumerate(measured) if sum(_WORTH[line.verdict] for line in lines) == most]
    known = [n for n in best if _on_select(candidates[n]) is not None]
    chosen = max(known, key=lambda n: (_on_select(candidates[n]) or 0.0, -_bytes(candidates[n]))) if known else best[0]
    if budget.metric_drop is None:
        return measured[chosen]
    how = f"chosen of {len(best)} rows by their metric on select" if len(best) > 1 and known else ""
    if len(best) > 1 and not known:
        how = f"the first of {len(best)} rows, since nothing was measured on select"
    return [*measured[chosen], _drop(budget.metric_drop, candidates[chosen], how)]


def _on_select(seeds: Sequence[Row]) -> float | None:
    """The mean metric on *select*; None where a seed has none."""
    values = [row.quality.select_value for row in seeds if row.quality and row.quality.select_value is not None]
    return mean(values) if len(values) == len(seeds) else None


def _bytes(seeds: Sequence[Row]) -> int:
    return max((row.size.bytes for row in seeds if row.size), default=0)


def _measured_lines(budget: Budget, seeds: Sequence[Row]) -> list[BudgetLine]:
    lines = []
    if budget.size is not None:
        lines.append(_size(budget.size, seeds))
    if budget.speedup is not None:
        lines.append(_speedup(budget.speedup, seeds))
    return lines


def _size(asked: int, seeds: Sequence[Row]) -> BudgetLine:
    """Of the largest: seeds differ where a search decides the size."""
    measured = _bytes(seeds)
    met = measured <= asked
    return BudgetLine(name="size", asked=asked, measured=measured, row=seeds[0].id, verdict="met" if met else "missed")


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


def _speedup(asked: float, seeds: Sequence[Row]) -> BudgetLine:
    points = [point for row in seeds if (point := main_speed(row)) is not None]
    line = BudgetLine(name="speedup", asked=asked, measured=None, row=seeds[0].id, verdict="not decidable")
    if not points:
        return line.model_copy(update={"reason": "the recipe measures no latency"})
    ratio = mean(point.ratio or 0.0 for point in points)
    limits = [point.ratio_interval or (ratio, ratio) for point in points]
    low, high = mean(limit[0] for limit in limits), mean(limit[1] for limit in limits)
    at = f"batch {points[0].batch_size}, length {points[0].sequence_length}"
    verdict = "met" if ratio >= asked else "missed"
    close = f"; the interval {low:.2f} to {high:.2f} holds the asked value" if low < asked < high else ""
    return line.model_copy(update={"measured": ratio, "verdict": verdict, "reason": at + close})


def _drop(asked: float, seeds: Sequence[Row], how: str) -> BudgetLine:
    line = BudgetLine(name="metric_drop", asked=asked, measured=None, row=seeds[0].id, verdict="not decidable")
    found = [row.quality for row in seeds if row.quality and row.quality.difference is not None]
    limits = [quality.difference_interval for quality in found if quality.difference_interval is not None]
    if not limits or len(limits) < len(seeds):
        return line.model_copy(update={"reason": "no difference to a baseline was measured"})
    differences = [quality.difference or 0.0 for quality in found]
    low, high = limits[0] if len(limits) == 1 else _over_seeds(differences, limits, found[0].examples)
    verdict = "met" if -low <= asked else "missed" if -high > asked else "not decidable"
    ends = " and ".join(units.drop(found[0].metric, -end) for end in (high, low))
    reason = "" if verdict != "not decidable" else f"this split shows only that it lies between {ends}"
    told = "; ".join(part for part in (how, _of_seeds(seeds), reason) if part)
    return line.model_copy(update={"measured": -mean(differences), "verdict": verdict, "reason": told})


def _over_seeds(differences: list[float], limits: list[Interval], examples: int) -> Interval:
    """Interval of the mean difference over examples and further trainings.

    The error over the examples is taken to be that of one seed: that of their mean is no larger.
    """
    error = mean(high - low for low, high in limits) / (2 * NORMAL_975)
    return difference_over_seeds(differences, [0.0], sampling_error=error, examples=examples).interval


def _of_seeds(seeds: Sequence[Row]) -> str:
    return f"the mean of {len(seeds)} seeds" if len(seeds) > 1 else ""
