"""Fine-tuned rows from the best to the worst, each with the next: what their difference is, and whether it shows."""

from __future__ import annotations

from dataclasses import dataclass

from recipes.record import Report
from recipes.report import units
from recipes.report.cells import Cell, Tone
from recipes.report.table import metric

__all__ = ["CAPTION", "Neighbours", "neighbours"]

CAPTION = "Rows by their metric, each with the next: paired differences on the same examples."


@dataclass(frozen=True)
class Neighbours:
    better: str
    worse: str
    difference: Cell
    p_value: str

    def words(self) -> str:
        shown = f"{self.difference.text} {self.difference.detail} ({self.p_value})"
        if self.difference.tone == "noise":
            return f"{self.better} and {self.worse} are not told apart: {shown}"
        return f"{self.better} is above {self.worse}: {shown}"


def neighbours(report: Report) -> list[Neighbours]:
    """The pairs of the report as cells; a difference inside its interval is marked as noise."""
    name = metric(report)
    found = []
    for pair in report.pairs:
        tone: Tone = "gain" if units.is_shown(pair.interval, 0.0, pair.p_value) else "noise"
        detail = units.interval(pair.interval, lambda x: units.point(name, x))
        cell = Cell(units.difference(name, pair.difference), detail, tone=tone)
        found.append(Neighbours(pair.better, pair.worse, cell, units.probability(pair.p_value)))
    return found
