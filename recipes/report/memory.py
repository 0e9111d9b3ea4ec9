"""Memory table: the predicted peak of every training by part, and the largest batch that fits a budget of memory."""

from __future__ import annotations

from recipes.record import Report, Row
from recipes.report import units
from recipes.report.table.cells import Cell
from recipes.report.table.table import Column, Line, Table

__all__ = ["memory_table"]

COLUMNS = (
    Column("id", "stage", numeric=False),
    Column("weights", "weights", "embeddings", keep=4),
    Column("optimizer", "optimizer", keep=5),
    Column("gradients", "gradients", keep=3),
    Column("activations", "kept for", "backward", keep=6),
    Column("temporary", "temporary", keep=2),
    Column("process", "process", keep=1),
    Column("peak", "peak"),
    Column("largest", "largest", "batch"),
)


def memory_table(report: Report) -> Table | None:
    """Parts of the predicted peak for each stage that trains; None where no budget of memory was given."""
    rows = [row for row in report.rows if "memory_budget_bytes" in row.facts]
    if not rows:
        return None
    budget = units.bytes_(rows[0].facts["memory_budget_bytes"])
    return Table(
        columns=COLUMNS,
        lines=tuple(Line("row", row.id, _cells(row), row) for row in rows),
        caption=f"Peak of each training, predicted by part, and the largest batch that fits in {budget}.",
        prediction=True,
        footnotes=tuple((row.id, _advice(row, budget)) for row in rows if not row.facts["fits"]),
    )


def _cells(row: Row) -> dict[str, Cell]:
    parts, facts = row.facts["predicted_memory"], row.facts
    largest = facts["largest_batch_size"]
    return {
        "id": Cell(row.id),
        "weights": Cell(units.bytes_(parts["weights"] + parts["copies"]), units.bytes_(parts["embeddings"])),
        "optimizer": Cell(units.bytes_(parts["optimizer"])),
        "gradients": Cell(units.bytes_(parts["gradients"])),
        "activations": Cell(units.bytes_(parts["activations"])),
        "temporary": Cell(units.bytes_(parts["temporary"] + parts["allocator"])),
        "process": Cell(units.bytes_(parts["process"])),
        "peak": Cell(units.bytes_(facts["predicted_peak_bytes"]), "fits" if facts["fits"] else "too much"),
        "largest": Cell("any" if largest is None else str(largest) if largest else "none"),
    }


def _advice(row: Row, budget: str) -> str:
    return f"does not fit in {budget}; {row.facts['advice']}"
