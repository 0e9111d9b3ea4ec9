"""Ranking of fine-tuned rows: each with the next best, the paired difference, and whether it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recipes.record import Pair, Report
from recipes.report import units
from recipes.report.table.cells import Cell, Tone
from recipes.report.table.table import metric

__all__ = ["CAPTION", "Neighbours", "as_words", "neighbours"]

CAPTION = "Rows by their metric, each with the next: paired differences on the same examples."


@dataclass(frozen=True)
class Neighbours:
    """Two rows next to each other in the ranking, and their difference."""

    better: str
    worse: str
    difference: Cell
    p_value: str

    def words(self) -> str:
        """One sentence; the first is below the second where the difference is a loss."""
        shown = f"{self.difference.text} {self.difference.detail} ({self.p_value})"
        if self.difference.tone == "noise":
            return f"{self.better} and {self.worse} are not told apart: {shown}"
        return f"{self.better} is {'above' if self.difference.tone == 'gain' else 'below'} {self.worse}: {shown}"


def neighbours(report: Report) -> list[Neighbours]:
    """The pairs of the report as cells; a difference inside its interval is marked as noise."""
    return as_words(report.pairs, metric(report))


def as_words(pairs: Sequence[Pair], name: str) -> list[Neighbours]:
    """Paired differences as cells. Where the user chose the pair, the first may have the lower metric.

    Args:
        pairs: of rows.
        name: of the metric.
    """
    found = []
    for pair in pairs:
        shown = units.is_shown(pair.interval, 0.0, pair.p_value)
        tone: Tone = "noise" if not shown else "gain" if pair.difference > 0 else "loss"
        detail = units.interval(pair.interval, lambda x: units.point(name, x))
        cell = Cell(units.difference(name, pair.difference), detail, tone=tone)
        found.append(Neighbours(pair.better, pair.worse, cell, units.probability(pair.p_value)))
    return found
