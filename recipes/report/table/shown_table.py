"""Conversion of a table exhibit to the table that every view draws."""

from __future__ import annotations

from compress.core.stage import exhibit
from recipes.report import units
from recipes.report.table.cells import Cell, Tone
from recipes.report.table.table import Column, Line, Table

__all__ = ["shown_table"]


def shown_table(shown: exhibit.Table) -> Table:
    """Table with units and tones: a difference within its interval is noise."""
    keys = [str(index) for index in range(len(shown.columns))]
    columns = tuple(
        Column(key, column.title, column.detail, column.keep, numeric=index > 0)
        for index, (key, column) in enumerate(zip(keys, shown.columns))
    )
    lines = tuple(
        Line("row", str(number), {key: _cell(entry, shown.metric) for key, entry in zip(keys, row)})
        for number, row in enumerate(shown.rows)
    )
    return Table(columns, lines, shown.caption, footnotes=shown.notes)


def _cell(entry: exhibit.Entry, metric: str) -> Cell:
    text, beside = _words(entry.main, metric)
    detail = " ".join(part for part in (beside, *_words(entry.detail, metric)) if part)
    return Cell(text, detail, tone=_tone(entry)) if text or detail else Cell()


def _words(what: exhibit.Number | str, metric: str) -> tuple[str, str]:
    """The number with its unit, and what stands beside it: its deviation or its interval."""
    if isinstance(what, str):
        return what, ""
    if what.interval:
        return _number(what.value, what.unit, metric), units.interval(what.interval, lambda x: _limit(x, what, metric))
    if what.deviation is not None:
        return _number(what.value, what.unit, metric), f"± {_number(what.deviation, what.unit, metric)}"
    return _number(what.value, what.unit, metric), ""


def _number(value: float, unit: exhibit.Unit, metric: str) -> str:
    if unit == "count":
        return units.count(value)
    if unit == "share":
        return f"{units.plain_number(100 * value)} %"
    if unit == "score":
        return units.score(metric, value)
    return units.difference(metric, value) if unit == "difference" else units.plain_number(value)


def _limit(value: float, of: exhibit.Number, metric: str) -> str:
    return units.point(metric, value) if of.unit == "difference" else _number(value, of.unit, metric)


def _tone(entry: exhibit.Entry) -> Tone:
    """Of a difference; one that only stands beneath another number has no colour, and may be noise."""
    for index, what in enumerate((entry.main, entry.detail)):
        if isinstance(what, exhibit.Number) and what.unit == "difference" and what.interval:
            if not units.is_shown(what.interval, 0.0):
                return "noise"
            return "" if index else "gain" if what.value > 0 else "loss"
    return ""
