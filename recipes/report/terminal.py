"""The report in the terminal: a table that fits the width, the budget's verdicts, what was reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recipes.record import Pair, Report
from recipes.report import units
from recipes.report.comparing.comparison import Comparison, as_table
from recipes.report.comparing.neighbours import as_words, neighbours
from recipes.report.headline import budget_value, headline
from recipes.report.memory import memory_table
from recipes.report.plots.exhibits import sections
from recipes.report.table.cells import Cell
from recipes.report.table.table import Column, Table, is_prediction, is_reused, metric, table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

__all__ = ["draw", "fitting", "show", "show_comparison", "show_pairs", "time_spent"]

TONES = {"gain": "green", "loss": "red", "noise": "", "": ""}
VERDICTS = {"met": "green", "missed": "red", "not decidable": "yellow"}
PLAIN = str.maketrans({"×": "x", "−": "-", "–": "-", "±": "+", "µ": "u", "⁶": "6", "…": "~", "·": "|"})


def show(report: Report, console: Console | None = None) -> None:
    """Print a report. Columns that do not fit the console's width are dropped, the least needed first.

    Args:
        report: of a run, or of `check`.
        console: standard output unless given.
    """
    from rich.console import Console
    from rich.text import Text

    out = console or Console(highlight=False)
    whole = table(report)
    out.print(Text(report.name, style="bold"))
    out.print(_text(headline(report), out))
    out.print(draw(whole, out))
    out.print(_text(_caption(whole), out, style="dim"))
    for line in _below(report, whole):
        out.print(_text(line[0], out, style=line[1]))
    memory = memory_table(report)
    if memory:
        _print_table(memory, out)
    for section in sections(report):
        if section.tables:
            out.print(_text(section.title, out, style="bold"))
        for found in section.tables:
            _print_table(found, out)


def show_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print several runs side by side.

    Args:
        comparison: of runs.
        console: standard output unless given.
    """
    from rich.console import Console

    out = console or Console(highlight=False)
    _print_table(as_table(comparison), out)


def show_pairs(report: Report, pairs: Sequence[Pair], console: Console | None = None) -> None:
    """Print paired differences of rows, a sentence each.

    Args:
        report: that the rows are of.
        pairs: compared rows, at least one.
        console: standard output unless given.
    """
    from rich.console import Console

    out = console or Console(highlight=False)
    seeds = pairs[0].seeds
    scope = (
        f"mean of {seeds} seeds, 95 % intervals over both" if seeds > 1 else "95 % intervals for these trained models"
    )
    out.print(_text(f"{report.name}: {metric(report)}, {pairs[0].examples:,} examples, {scope}", out))
    for pair in as_words(pairs, metric(report)):
        out.print(_text(pair.words(), out))


def _print_table(whole: Table, out: Console) -> None:
    out.print(draw(whole, out))
    out.print(_text(_caption(whole), out, style="dim"))
    for name, note in whole.footnotes:
        out.print(_text(f"{name}: {note}", out))


def draw(whole: Table, console: Console) -> RichTable:
    """Rich table of the columns that fit the console.

    Args:
        whole: the table with all columns.
        console: it is printed on.
    """
    from rich import box
    from rich.table import Table as RichTable

    columns = fitting(whole, console.width)
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        head = _text(f"{column.title}\n{column.detail}".rstrip(), console)
        drawn.add_column(head, justify="right" if column.numeric else "left", overflow="fold")
    for line in whole.lines:
        style = {"mean": "bold", "failed": "red", "constant": "dim"}.get(line.kind, "")
        drawn.add_row(*(_cell(line.cells.get(column.key, Cell()), console) for column in columns), style=style)
    return drawn


def fitting(whole: Table, width: int) -> tuple[Column, ...]:
    """Columns that fit a width, two characters between columns; stage, size and quality always stay.

    Args:
        whole: the table with all columns.
        width: in characters.
    """
    columns = list(whole.columns)
    while sum(_width(column, whole) + 2 for column in columns) - 2 > width:
        weakest = min(columns, key=lambda column: column.keep)
        if weakest.keep >= 9:
            break
        columns.remove(weakest)
    return tuple(columns)


def _width(column: Column, whole: Table) -> int:
    cells = [line.cells.get(column.key, Cell()) for line in whole.lines]
    return max(len(part) for cell in cells for part in (column.title, column.detail, _first(cell), cell.detail))


def _first(cell: Cell) -> str:
    return f"{cell.text} (noise)" if cell.tone == "noise" else cell.text


def _cell(cell: Cell, console: Console) -> Text:
    drawn = _text(_first(cell), console, style=TONES[cell.tone])
    if cell.detail:
        drawn.append_text(_text(f"\n{cell.detail}", console, style="dim"))
    return drawn


def _text(words: str, console: Console, style: str = "") -> Text:
    """Never read as markup: intervals have brackets. A console without Unicode gets plain signs."""
    from rich.text import Text

    if not console.encoding.lower().startswith("utf"):
        words = words.translate(PLAIN).encode(console.encoding, "replace").decode(console.encoding)
    return Text(words, style=style)


def _caption(whole: Table) -> str:
    noise = any(cell.tone == "noise" for line in whole.lines for cell in line.cells.values())
    return whole.caption + (" (noise): within noise, no difference is shown." if noise else "")


def _below(report: Report, whole: Table) -> list[tuple[str, str]]:
    lines = [(f"{name}: {note}", "") for name, note in whole.footnotes]
    lines += [(pair.words(), "") for pair in neighbours(report)]
    reused = list(dict.fromkeys(row.id for row in report.rows if is_reused(row)))
    if reused and not is_prediction(report):
        lines.append((f"reused, finished earlier and unchanged: {', '.join(reused)}", "dim"))
    for line in report.budget:
        asked, measured = (budget_value(line, value, metric(report)) for value in (line.asked, line.measured))
        on = f" ({line.row})" if line.row else ""
        reason = f"; {line.reason}" if line.reason else ""
        lines.append(
            (f"budget {line.name}: {line.verdict}: asked {asked}, got {measured}{on}{reason}", VERDICTS[line.verdict])
        )
    lines += [(f"{name} failed: {error}", "red") for name, error in report.failed.items()]
    if report.seconds:
        lines.append((time_spent(report.seconds), "dim"))
    return lines


def time_spent(seconds: Mapping[str, float]) -> str:
    """Where the time of a run went, the longest first; what took less than a hundredth of it is left out.

    Args:
        seconds: by what they were spent on.
    """
    total = sum(seconds.values())
    parts = [f"{units.seconds(value)} {work}" for work, value in seconds.items() if value > 0.01 * total]
    return f"time: {units.seconds(total)} in all: {', '.join(parts)}"
