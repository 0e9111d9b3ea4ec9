"""The report as one self-contained HTML page, without any network request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recipes.record import BudgetLine, Report
from recipes.report import units
from recipes.report.comparing.neighbours import CAPTION, neighbours
from recipes.report.facts import Pair, flat
from recipes.report.headline import achieved, budget_value, headline
from recipes.report.plots.exhibits import sections
from recipes.report.plots.scatter import plots
from recipes.report.shipping import shipping
from recipes.report.stages import as_yaml, stages
from recipes.report.table.cells import Cell
from recipes.report.table.speed_points import describe, points
from recipes.report.table.table import Column, has_seeds, is_prediction, metric, table

__all__ = ["page"]

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = 5_000_000
DETAIL = ((200, True), (40, True), (8, True), (0, True), (0, False))
"""How many changed inputs each row shows, and whether cuts are drawn; the first page below `LARGEST` bytes is taken."""


def page(report: Report) -> str:
    """The page: self-contained, light and dark, below 5 MB. Everything that it leaves out is in report.json."""
    template = _template()
    shared = _shared(report)
    drawn = ""
    for most_inputs, draw in DETAIL:
        drawn = template.render(**shared, stages=stages(report, most_inputs, draw and not is_prediction(report)))
        if len(drawn.encode("utf-8")) < LARGEST:
            break
    return drawn


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")


def _shared(report: Report) -> dict[str, Any]:
    """Template variables, except the stages."""
    whole = table(report, speeds=2 if has_seeds(report) else 4)
    return {
        "report": report,
        "headline": headline(report),
        "figures": _figures(report),
        "shipping": shipping(report),
        "table": whole,
        "columns": sorted((column for column in whole.columns if column.key != "p"), key=_is_late),
        "empty": Cell(),
        "plots": plots(report),
        "sections": [
            (found.title, found.plots(f"shown-{index}"), found.tables) for index, found in enumerate(sections(report))
        ],
        "neighbours": neighbours(report),
        "neighbours_caption": CAPTION,
        "budget": [_budget(line, report) for line in report.budget],
        "prediction": is_prediction(report),
        "environment": _environment(report),
        "machine": _machine(report),
        "task": _task(report),
        "parts": _parts(report),
        "recipe": as_yaml(report.recipe),
        "metric": metric(report),
    }


def _is_late(column: Column) -> bool:
    """A narrow page shows the first columns before it is scrolled: parameters come last."""
    return column.key == "parameters"


def _figures(report: Report) -> list[tuple[str, str, str, str]]:
    """Big number, what it is, its detail, and its tone: size, speed and quality of the row in the headline."""
    row = achieved(report)
    if row is None or is_prediction(report):
        return []
    lines = [line for line in table(report, speeds=1).lines if line.id == row.id]
    line = next((line for line in lines if line.kind == "mean"), lines[0])
    size, speed, gap = (line.cells.get(key, Cell()) for key in ("size", "speed 0", "difference"))
    figures = []
    if lines[0].cells["size"].detail:
        figures.append((lines[0].cells["size"].detail, "smaller", f"{size.text} of model files", ""))
    if speed.text != units.DASH:
        where = describe(points(report, 1)[0])
        figures.append((speed.text, "as fast", f"{speed.detail} {where}".strip(), ""))
    if gap.text not in {units.DASH, "baseline"}:
        words = f"{gap.detail}, within noise" if gap.tone == "noise" else gap.detail
        words = f"{words}, {line.cells['id'].detail} seeds".removeprefix(", ") if line.kind == "mean" else words
        figures.append((gap.text, metric(report), words, gap.tone))
    return figures


def _budget(line: BudgetLine, report: Report) -> tuple[BudgetLine, str, str]:
    name = metric(report)
    return line, budget_value(line, line.asked, name), budget_value(line, line.measured, name)


def _environment(report: Report) -> list[Pair]:
    facts = dict(report.environment)
    versions = facts.pop("versions", {})
    return flat(facts) + (flat(versions) if isinstance(versions, dict) else [])


def _machine(report: Report) -> str:
    """One line of the environment: processor, threads."""
    facts = report.environment
    instructions = facts.get("instructions")
    known = [str(facts["cpu"])] if facts.get("cpu") else []
    known += [", ".join(map(str, instructions))] if isinstance(instructions, list) and instructions else []
    known += [units.counted(facts["threads"], "thread")] if facts.get("threads") else []
    return " · ".join(known)


def _task(report: Report) -> list[Pair]:
    seeds = sorted({row.seed for row in report.rows if row.seed is not None})
    pairs = flat({key: value for key, value in report.task.items() if key != "parts"})
    return [*pairs, ("seeds", ", ".join(map(str, seeds)))] if seeds else pairs


def _parts(report: Report) -> list[tuple[str, str, str]]:
    """Part, rows, fingerprint."""
    parts = report.task.get("parts")
    if not isinstance(parts, dict):
        return []
    known = [(name, part) for name, part in parts.items() if isinstance(part, dict)]
    return [(name, f"{part.get('rows', 0):,}", str(part.get("fingerprint", ""))[:16]) for name, part in known]
