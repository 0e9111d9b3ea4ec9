"""What a search for tickets found, as tables: every size with its controls, who matches, what tickets share."""

from __future__ import annotations

from typing import Any

from recipes.record import Report, Row
from recipes.report import units
from recipes.report.cells import Cell, Tone
from recipes.report.table import Column, Line, Table, row_name

__all__ = ["FACT", "lottery_tables", "studies"]

FACT = "lottery"
"""The fact of a row that holds a study of the lottery."""
CAPTION = (
    "On {examples:,} examples of select, mean ± standard deviation over {seeds} seeds. Matches: within one standard "
    "deviation of the full model (Chen et al. 2020); strictly: the 95 % paired interval of the difference, in "
    "brackets, does not lie below 0."
)


def studies(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(name of the row, what it found) of every row that holds a study."""
    return [(row_name(row, report), row.facts[FACT]) for row in report.rows if _holds(row)]


def lottery_tables(report: Report) -> list[tuple[str, Table]]:
    """(name of the row, its table) of every study."""
    return [(name, _search(found) if "lines" in found else _subnetworks(found)) for name, found in studies(report)]


def _holds(row: Row) -> bool:
    found = row.facts.get(FACT)
    return isinstance(found, dict) and ("lines" in found or "subnetworks" in found)


def _search(found: dict[str, Any]) -> Table:
    name, tickets = found["metric"], found["lines"]["ticket"]
    controls = [line for line in found["lines"] if line != "ticket"]
    columns = [
        Column("id", "weights left", numeric=False),
        Column("ticket", "ticket"),
        Column("difference", "difference", "to the full model", keep=8),
        Column("within", "matches", "one deviation", keep=7),
        Column("strictly", "strictly", "paired", keep=6),
        *(Column(control, control.replace("_", " "), "ticket above by", keep=5) for control in controls),
    ]
    full = {"id": Cell("100 %", "full model"), "ticket": _spread(name, found["full"])}
    lines = [Line("row", "full", full)]
    for place, point in enumerate(tickets):
        cells = {"id": Cell(_percent(point["remaining"]), f"{units.count(point['kept'])}"), **_judged(name, point)}
        cells |= {control: _above(name, found["lines"][control][place]) for control in controls}
        lines.append(Line("row", str(point["round"]), cells))
    return Table(tuple(columns), tuple(lines), _caption(found), footnotes=_shared(found))


def _judged(name: str, point: dict[str, Any]) -> dict[str, Cell]:
    """The cells of a subnetwork beside the full model."""
    limits = units.interval(tuple(point["interval"]), lambda value: units.point(name, value))
    shown = units.is_shown(tuple(point["interval"]), 0.0)
    tone: Tone = "noise" if not shown else "gain" if point["difference"] > 0 else "loss"
    return {
        "ticket": _spread(name, point),
        "difference": Cell(units.difference(name, point["difference"]), limits, tone=tone),
        "within": Cell(_verdict(point["within_one_deviation"])),
        "strictly": Cell(_verdict(point["strictly"])),
    }


def _above(name: str, point: dict[str, Any]) -> Cell:
    """A control's score, and how far the ticket lies above it."""
    limits = units.interval(tuple(point["interval"]), lambda value: units.point(name, value))
    tone: Tone = "" if units.is_shown(tuple(point["interval"]), 0.0) else "noise"
    score = units.score(name, point["mean"])
    return Cell(score, f"{units.difference(name, point['ticket_above'])} {limits}", tone=tone)


def _subnetworks(found: dict[str, Any]) -> Table:
    name = found["metric"]
    columns = (
        Column("id", "subnetwork", "weights left", numeric=False),
        Column("heads", "heads", keep=7),
        Column("networks", "networks", "feed-forward", keep=7),
        Column("cut", "when cut"),
        Column("ticket", "trained again"),
        Column("difference", "difference", "to the full model", keep=8),
        Column("within", "matches", "one deviation", keep=6),
        Column("strictly", "strictly", "paired", keep=5),
    )
    full = {"id": Cell("full model", "100 %"), "ticket": _spread(name, found["full"]), "cut": Cell()}
    lines = [Line("row", "full", full)]
    for kind, each in found["subnetworks"].items():
        cells = {"id": Cell(kind, _mean_percent(each["remaining"])), **_judged(name, each["trained"])}
        cells |= {part: Cell(", ".join(map(str, each[part]))) for part in ("heads", "networks")}
        lines.append(Line("row", kind, {**cells, "cut": _spread(name, each["cut"])}))
    keeps = f"The good one is the smallest that keeps {_percent(found['keeps'])} of the metric when it is only cut. "
    return Table(columns, tuple(lines), keeps + _caption(found), footnotes=_shared(found))


def _shared(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the tickets of two seeds have in common at the smallest size."""
    if not found["overlap"]:
        return ()
    last = found["overlap"][-1]
    words = ", ".join(
        f"{units.decimal(last[part], 2)} of what they {verb} (by chance {units.decimal(last[f'chance_{part}'], 2)})"
        for part, verb in (("kept", "keep"), ("removed", "remove"))
    )
    return (("overlap", f"the smallest tickets of two seeds share {words}; Jaccard's index"),)


def _spread(name: str, point: dict[str, Any]) -> Cell:
    deviation = point["deviation"]
    return Cell(units.score(name, point["mean"]), "" if deviation is None else f"± {units.score(name, deviation)}")


def _verdict(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "one seed"}[value]


def _caption(found: dict[str, Any]) -> str:
    return CAPTION.format(examples=found["examples"], seeds=len(found["seeds"]))


def _percent(share: float) -> str:
    return f"{units.plain_number(share * 100)} %"


def _mean_percent(shares: list[float]) -> str:
    return _percent(sum(shares) / len(shares))
