"""Stage sections of the page: settings, cost, maps of what was pruned, inputs whose prediction changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from recipes.file.stage_ids import stage_entry, stage_ids
from recipes.record import ChangedInput, Cost, Quality, Report, Row
from recipes.report import units
from recipes.report.facts import Pair, cost_pairs, flat, quality_pairs, size_pairs
from recipes.report.plots.exhibits import facts_shown, pictures, words
from recipes.report.plots.pruned_maps import Picture
from recipes.report.table.cells import Cell, difference_cell, quality_cell, speed_cell
from recipes.report.table.speed_points import describe, points, speed_at
from recipes.report.table.table import groups

__all__ = ["Changed", "Run", "StageView", "as_yaml", "stages"]

TEXT_LENGTH = 400
HEAD = ("name", "model", "task", "seeds", "stages", "measure", "budget")


@dataclass(frozen=True)
class Changed:
    """An input whose prediction changed. `kind` is `broken`, `fixed`, or `other` where both answers are wrong."""

    kind: str
    text: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Run:
    """One row of a stage: the stage itself, or one seed of it."""

    row: Row
    title: str
    blocks: list[tuple[str, list[Pair]]]
    speeds: list[tuple[str, Cell, str, str, str, str]]
    parts: list[tuple[str, Cell, Cell, str]]
    pictures: list[Picture]
    changed: list[Changed]
    changed_words: str


@dataclass(frozen=True)
class StageView:
    """A stage with its rows, one for each seed."""

    id: str
    stage: str
    start: str
    settings: str
    runs: list[Run]
    badges: list[str] = field(default_factory=list)


def stages(report: Report, most_inputs: int, draw: bool = True) -> list[StageView]:
    """Views of every stage of a report.

    Args:
        report: of a run.
        most_inputs: changed inputs that each row shows at most.
        draw: whether with pictures.
    """
    settings = _settings(report.recipe)
    views = []
    for name, rows in groups(report).items():
        runs = [_run(row, report, most_inputs, draw, several=len(rows) > 1) for row in rows]
        given = _given(rows[0], settings)
        views.append(
            StageView(name, rows[0].stage, rows[0].start or "", as_yaml(given) if given else "", runs, _badges(rows))
        )
    return views


def as_yaml(data: Any) -> str:
    """Plain data as YAML; a recipe's own keys come in the order of the book."""
    if isinstance(data, dict):
        data = {**{key: data[key] for key in HEAD if key in data}, **data}
    parts = [{key: value} for key, value in data.items()] if isinstance(data, dict) else [data]
    return "".join(_dumped(part) for part in parts).rstrip()


def _dumped(part: Any) -> str:
    """Block style outside, and short mappings of scalars on one line inside."""
    import yaml

    nested = isinstance(part, dict) and any(isinstance(value, dict | list) for value in part.values())
    style = None if nested else False
    return str(yaml.safe_dump(part, sort_keys=False, allow_unicode=True, default_flow_style=style, width=88))


def _given(row: Row, settings: dict[str, Any]) -> Any:
    """The stage's settings as the engine noted them, else as the recipe has them."""
    noted = row.facts.get("settings")
    if isinstance(noted, dict) and list(noted) == [row.stage]:
        noted = noted[row.stage]
    return noted if noted and noted != row.stage else settings.get(row.id)


def _settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Stage id -> its settings, named as the plan names them: the stage's own name, then `-2`, `-3`."""
    listed = [stage_entry(stage) for stage in recipe.get("stages") or []]
    ids = stage_ids((name, settings.get("id")) for name, settings in listed)
    return {
        id: {key: value for key, value in settings.items() if key not in {"id", "start"}}
        for id, (_, settings) in zip(ids, listed)
    }


def _badges(rows: list[Row]) -> list[str]:
    first = rows[0]
    badges = [f"on {first.start}"] if first.start else []
    if (first.runtime, first.precision) != ("pytorch", "fp32"):
        badges.append(f"{first.runtime} {first.precision}")
    if first.baseline:
        badges.append("baseline")
    return badges


def _run(row: Row, report: Report, most: int, draw: bool, several: bool) -> Run:
    blocks = [("Cost", cost_pairs(row.cost, row)), ("Quality", quality_pairs(row.quality)), ("Size", size_pairs(row))]
    blocks += [("Facts", _facts(row)), ("Identity", _identity(row))]
    return Run(
        row=row,
        title=f"Seed {row.seed}" if several else "",
        blocks=[(name, pairs) for name, pairs in blocks if pairs],
        speeds=_speeds(row, report),
        parts=_parts(row.quality),
        pictures=pictures(row.exhibits) if draw else [],
        changed=[_changed(one) for one in row.changed_inputs[:most]],
        changed_words=_changed_words(row, most),
    )


def _facts(row: Row) -> list[Pair]:
    """What the stage noted, less what stands elsewhere on the page."""
    elsewhere = {"settings", *facts_shown(row.exhibits), *(Cost.model_fields if row.cost else ())}
    return words(row.exhibits) + flat({name: fact for name, fact in row.facts.items() if name not in elsewhere})


def _identity(row: Row) -> list[Pair]:
    pairs = [("directory", row.path)] if row.path else []
    return pairs + ([("SHA-256 of the files", row.sha256[:16])] if row.sha256 else [])


def _speeds(row: Row, report: Report) -> list[tuple[str, Cell, str, str, str, str]]:
    """Where, speed-up, median, 95th percentile, throughput, and the ratio within the same runtime."""
    lines = []
    for point in points(report):
        speed = speed_at(row, point)
        if speed:
            same = units.ratio(speed.runtime_ratio) if speed.runtime_ratio else units.DASH
            limits = speed.runtime_ratio_interval
            if speed.runtime_ratio and limits:
                same += f" {units.interval(limits, lambda value: units.ratio(value).removesuffix(units.TIMES))}"
            median, slow = units.seconds(speed.median_seconds), units.seconds(speed.p95_seconds)
            rate = f"{units.plain_number(speed.examples_per_second)} /s"
            lines.append((describe(point), speed_cell(speed, row), median, slow, rate, same))
    return lines


def _parts(quality: Quality | None) -> list[tuple[str, Cell, Cell, str]]:
    """The same measures on each part of the evaluation split."""
    if quality is None:
        return []
    named = {name: Quality(metric=quality.metric, **part.model_dump()) for name, part in quality.parts.items()}
    return [(name, quality_cell(part), difference_cell(part), f"{part.examples:,}") for name, part in named.items()]


def _changed(one: ChangedInput) -> Changed:
    kind = "fixed" if one.fixed else "broken" if one.before == one.label else "other"
    text = one.text if len(one.text) <= TEXT_LENGTH else f"{one.text[:TEXT_LENGTH]} …"
    return Changed(kind, text, one.label, one.before, one.after)


def _changed_words(row: Row, most: int) -> str:
    """How many changed in all, and how many of them are shown here."""
    listed = Counter(_changed(one).kind for one in row.changed_inputs)
    quality = row.quality
    known = quality is not None and quality.broken is not None and quality.fixed is not None
    broken = quality.broken if quality and known else listed["broken"]
    fixed = quality.fixed if quality and known else listed["fixed"]
    shown = min(len(row.changed_inputs), most)
    words = f"{broken or 0:,} turned wrong, {fixed or 0:,} turned right"
    return f"{words}; {shown:,} shown" if shown < (broken or 0) + (fixed or 0) + listed["other"] else words
