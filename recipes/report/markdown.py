"""The report as Markdown: headline, table, budget, notes."""

from __future__ import annotations

from recipes.record import Report
from recipes.report.comparing.neighbours import CAPTION, neighbours
from recipes.report.headline import budget_value, headline
from recipes.report.plots.exhibits import sections
from recipes.report.shipping import shipping
from recipes.report.table.cells import Cell
from recipes.report.table.table import Column, Table, metric, table

__all__ = ["page"]


def page(report: Report) -> str:
    """A heading, the headline, the table, the budget, notes and failures."""
    whole = table(report)
    parts = [f"# {_plain(report.name)}", _plain(headline(report)), _shipping(report)]
    parts += [_table(whole), _plain(whole.caption)]
    parts += [_neighbours(report), _sections(report), _budget(report), _notes(report, whole), _failures(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shipping(report: Report) -> str:
    found = shipping(report)
    if found is None:
        return ""
    words = f"{_plain(found.words)} It lies in `{found.path}`, beside this page; this is how it is called:"
    return f"## What to ship: {_plain(found.name)}\n\n{words}\n\n```python\n{found.code}\n```"


def _plain(text: str) -> str:
    """User text on one line, with nothing that Markdown or HTML would read as more than text."""
    joined = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "`*_[]<>|#":
        joined = joined.replace(sign, f"\\{sign}")
    return joined


def _table(whole: Table) -> str:
    head = [_head(column) for column in whole.columns]
    rule = ["---:" if column.numeric else ":---" for column in whole.columns]
    lines = [[_cell(line.cells.get(column.key, Cell())) for column in whole.columns] for line in whole.lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _head(column: Column) -> str:
    return _plain(f"{column.title} ({column.detail})" if column.detail else column.title)


def _cell(cell: Cell) -> str:
    words = f"{cell.text} {cell.detail}".strip()
    return _plain(f"{words}, within noise" if cell.tone == "noise" else words)


def _budget(report: Report) -> str:
    lines = []
    for line in report.budget:
        asked, measured = (budget_value(line, value, metric(report)) for value in (line.asked, line.measured))
        words = f"{line.name}: **{line.verdict}** (asked {asked}, got {measured}{f', {line.row}' if line.row else ''})"
        lines.append(f"- {words}{f'; {_plain(line.reason)}' if line.reason else ''}")
    return "## Budget\n\n" + "\n".join(lines) if lines else ""


def _neighbours(report: Report) -> str:
    lines = [f"- {_plain(pair.words())}" for pair in neighbours(report)]
    return f"## Neighbours\n\n{CAPTION}\n\n" + "\n".join(lines) if lines else ""


def _sections(report: Report) -> str:
    parts = []
    for section in sections(report):
        for index, found in enumerate(section.tables):
            notes = [f"- {_plain(what)}: {_plain(words)}" for what, words in found.footnotes]
            head = "" if index else f"## {_plain(section.title[:1].upper() + section.title[1:])}"
            parts += [head, _table(found), _plain(found.caption), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part)


def _notes(report: Report, whole: Table) -> str:
    lines = [f"- {_plain(name)}: {_plain(note)}" for name, note in whole.footnotes]
    return "## Notes\n\n" + "\n".join(lines) if lines else ""


def _failures(report: Report) -> str:
    lines = [f"- {_plain(name)}: {_plain(error)}" for name, error in report.failed.items()]
    return "## Failed\n\n" + "\n".join(lines) if lines else ""
