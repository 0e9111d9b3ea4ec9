"""Comparison of runs: rows of one name side by side, paired where both runs used the same evaluation examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.core.errors import InputError
from recipes.record import Quality, Report, Row
from recipes.report.comparing.run_files import Judged, answers_file, judged, read_run, scoring
from recipes.report.table.cells import Cell, difference_cell, row_cells
from recipes.report.table.speed_points import Point, points, short
from recipes.report.table.table import Column, Line, Table, metric

__all__ = ["Compared", "Comparison", "as_table", "compare"]


@dataclass(frozen=True)
class Compared:
    """A row of a run. `paired` is its quality against the row of that id and seed in the first run that has one, or
    None with the `reason`."""

    run: str
    row: Row
    paired: Quality | None = None
    against: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    runs: tuple[str, ...]
    reports: tuple[Report, ...]
    lines: tuple[Compared, ...]
    notes: tuple[str, ...] = ()


def compare(runs: Sequence[Path]) -> Comparison:
    """The rows of `runs`, grouped by id and seed.

    Raises:
        InputError: a directory without a report.json, or no directory at all.
    """
    if not runs:
        raise InputError("nothing to compare", advice="name two or more run directories")
    reports = [read_run(run) for run in runs]
    names = _names(runs)
    lines = []
    for key in dict.fromkeys((row.id, row.seed) for report in reports for row in report.rows):
        found = [
            (index, row) for index, report in enumerate(reports) for row in report.rows if (row.id, row.seed) == key
        ]
        first = found[0][0]
        for index, row in found:
            if index == first:
                lines.append(Compared(names[index], row, reason="" if index == 0 else f"not in {names[0]}"))
            else:
                lines.append(_paired((first, found[0][1]), (index, row), runs, reports, names))
    return Comparison(tuple(names), tuple(reports), tuple(lines), tuple(_notes(names, reports)))


def as_table(comparison: Comparison) -> Table:
    """Columns of the report's own table, with the run and the paired difference between runs."""
    chosen = _common_points(comparison.reports)
    columns = [
        Column("id", "stage", "runtime", numeric=False),
        Column("run", "run", numeric=False),
        Column("size", "size", "smaller by"),
        Column("quality", metric(comparison.reports[0]), "95 % interval"),
        Column("paired", "difference", f"to {comparison.runs[0]}"),
        *(Column(f"speed {i}", "speed-up", short(point), keep=7 - i) for i, point in enumerate(chosen)),
        Column("difference", "difference", "own baseline", keep=4),
    ]
    lines = tuple(_line(one, comparison, chosen) for one in comparison.lines)
    caption = "Speed-ups and the last difference are to each run's own baseline. Brackets hold 95 % intervals."
    reasons = tuple((f"{one.row.id} of {one.run}", one.reason) for one in comparison.lines if one.reason)
    notes = tuple(("note", note) for note in comparison.notes)
    return Table(tuple(columns), lines, caption, footnotes=(*reasons, *notes))


def _line(one: Compared, comparison: Comparison, chosen: list[Point]) -> Line:
    report = comparison.reports[comparison.runs.index(one.run)]
    baseline = next((row for row in report.rows if row.baseline and row.seed == one.row.seed), None)
    cells = row_cells(one.row, baseline, chosen)
    name = one.row.id if one.row.seed in (None, 0) else f"{one.row.id} seed {one.row.seed}"
    cells |= {"id": Cell(name, cells["id"].detail), "run": Cell(one.run)}
    if one.paired:
        cells["paired"] = difference_cell(one.paired)
    return Line("row", one.row.id, cells, one.row)


def _names(runs: Sequence[Path]) -> list[str]:
    """The directories' own names; their paths where two have one name."""
    short_names = [run.resolve().name for run in runs]
    return [str(run) if short_names.count(name) > 1 else name for run, name in zip(runs, short_names)]


def _common_points(reports: Sequence[Report]) -> list[Point]:
    """Up to two points that every run measured."""
    everywhere = set.intersection(*(set(points(report)) for report in reports))
    return [point for point in points(reports[0]) if point in everywhere][:2]


def _notes(names: Sequence[str], reports: Sequence[Report]) -> list[str]:
    notes = []
    for fact in ("cpu", "threads", "gpu"):
        values = [report.environment.get(fact) for report in reports]
        if any(value != values[0] for value in values):
            listed = ", ".join(f"{name}: {value}" for name, value in zip(names, values))
            notes.append(f"measured on different machines, so times do not compare ({fact} {listed})")
    return notes


IndexedRow = tuple[int, Row]


def _paired(
    first: IndexedRow, second: IndexedRow, runs: Sequence[Path], reports: Sequence[Report], names: Sequence[str]
) -> Compared:
    """The second row against the first, on the same examples."""
    name, against = names[second[0]], names[first[0]]
    reason = _differs(reports[first[0]], reports[second[0]])
    files = [answers_file(runs[index], row) for index, row in (first, second)]
    if not (first[1].quality and second[1].quality):
        return Compared(name, second[1], against=against)
    missing = [file for file in files if not file.is_file()]
    if reason or missing:
        return Compared(name, second[1], against=against, reason=reason or f"not paired: no {missing[0]}")
    before, after = judged(files[0]), judged(files[1])
    numbers = _numbers(reports[first[0]], reports[second[0]])
    if numbers and after is not None:
        after = after.renumbered(numbers)
    if before is None or after is None:
        return Compared(name, second[1], against=against, reason="not paired: logits were kept without their labels")
    if not before.same_examples(after):
        return Compared(name, second[1], against=against, reason="not paired: judged on other examples")
    paired = _quality(second[1].quality.metric, after, before)
    return Compared(name, second[1], paired, against)


def _differs(one: Report, two: Report) -> str:
    if metric(one) != metric(two):
        return f"not paired: {metric(one)} and {metric(two)} are different metrics"
    parts = [report.task.get("parts", {}).get("evaluation", {}) for report in (one, two)]
    # The fingerprint has the classes by number; `examples`, which older reports lack, by name.
    marks = [[part.get(mark) for part in parts] for mark in ("examples", "fingerprint")]
    known = next(([first, second] for first, second in marks if first and second), None)
    return "not paired: the evaluation data differ" if known and known[0] != known[1] else ""


def _numbers(one: Report, two: Report) -> list[int] | None:
    """The class numbers in `one` of the classes of `two`; None where they are the same."""
    ours, theirs = (list(report.task.get("labels", ())) for report in (one, two))
    if ours == theirs or sorted(ours) != sorted(theirs):
        return None
    return [ours.index(name) for name in theirs]


def _quality(name: str, after: Judged, before: Judged) -> Quality:
    from recipes.measure.quality import quality

    return quality(scoring(name), after.answers, after.targets, baseline=before.answers)
