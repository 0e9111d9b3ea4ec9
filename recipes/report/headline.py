"""Headline: what a run achieved, in one sentence of measured facts; and its budget in words."""

from __future__ import annotations

from collections import Counter

from recipes.record import BudgetLine, Quality, Report, Row, Speed
from recipes.report import units
from recipes.report.table.cells import Cell, mean_cells, no_better
from recipes.report.table.speed_points import Point, describe, points, speed_at
from recipes.report.table.table import groups, is_prediction

__all__ = ["achieved", "budget_value", "headline", "is_lost"]


def headline(report: Report) -> str:
    """One sentence: size, speed and quality of the row that `achieved` names, against the baseline."""
    if is_prediction(report):
        return _predicted(report)
    baseline = next((row for row in report.rows if row.baseline), None)
    row = achieved(report)
    if baseline is None or row is None:
        return _only_one(report, baseline)
    rows = groups(report)[row.id]
    point = next(iter(points(report, 1)), None)
    if len(rows) > 1:
        facts = [_size(row, baseline), *_means(rows, point)]
        return f"{row.id}, mean of {len(rows)} seeds ± standard deviation: {'; '.join(fact for fact in facts if fact)}."
    speed = speed_at(row, point) if point else None
    timed = _speed(speed, describe(point)) if speed and point else ""
    facts = [_size(row, baseline), timed, _quality(row.quality, baseline)]
    return f"{row.id}: {'; '.join(fact for fact in facts if fact)}."


def _means(rows: list[Row], point: Point | None) -> list[str]:
    """Speed and quality over the seeds. What one seed shows, with its interval, stands in the table."""
    cells = mean_cells(rows, [point] if point else [])
    name = next((row.quality.metric for row in rows if row.quality), "")
    fast, value, gap = (cells.get(key, Cell()) for key in ("speed 0", "quality", "difference"))
    facts = (
        [f"{fast.text} as fast {fast.detail}".rstrip() + f" at {describe(point)}"] if point and fast != Cell() else []
    )
    facts += [f"{name} {value.text} {value.detail}".rstrip()] if value != Cell() else []
    if gap != Cell():
        facts.append(f"{gap.text} {gap.detail}".rstrip() + " to the baseline of the same seed")
    return facts


def achieved(report: Report) -> Row | None:
    """The row that the budget was judged on.

    Without a budget: of the rows that are not shown to lose quality the fastest, or the smallest where speed is unknown
    (the smallest delta where every row is one); where all of them lose, the one with the best metric.
    """
    rows = [row for row in report.rows if row.quality and not row.baseline and row.id != "source"]
    judged = Counter(line.row for line in report.budget if line.row and line.verdict == "met").most_common(1)
    named = [row for row in rows if judged and row.id == judged[0][0]]
    if named:
        return named[0]
    equal = [row for row in rows if row.quality and not is_lost(row.quality)]
    if not equal:
        return max(rows, key=lambda row: row.quality.value if row.quality else 0.0, default=None)
    return _smallest(equal) if all(row.size and row.size.delta_bytes for row in rows) else _fastest(report, equal)


def _fastest(report: Report, rows: list[Row]) -> Row:
    point = next(iter(points(report, 1)), None)
    timed = {
        index: speed.ratio
        for index, row in enumerate(rows)
        if point and (speed := speed_at(row, point)) and speed.ratio
    }
    if timed:
        return rows[max(timed, key=lambda index: timed[index] or 0.0)]
    return _smallest(rows)


def _smallest(rows: list[Row]) -> Row:
    return min(rows, key=lambda row: (row.size.delta_bytes or row.size.bytes) if row.size else float("inf"))


def is_lost(quality: Quality) -> bool:
    """Whether the metric fell below the baseline's by more than noise, or tells no better than one answer for all."""
    shown = units.is_shown(quality.difference_interval, 0.0, quality.p_value)
    lost = quality.difference is not None and quality.difference < 0 and shown
    return lost or not quality.beats_a_constant


def budget_value(line: BudgetLine, value: float | None, metric: str) -> str:
    """A budget's number with the unit that its name implies.

    Args:
        line: of the budget; its name decides the unit.
        value: asked or measured; None gives a dash.
        metric: of the task; decides whether a drop is in percentage points.
    """
    if value is None:
        return "not measured"
    if "size" in line.name or "bytes" in line.name or "memory" in line.name:
        return units.bytes_(value)
    if "speedup" in line.name or "ratio" in line.name:
        return units.ratio(value)
    if "drop" in line.name:
        return units.drop(metric, value)
    if "latency" in line.name or "seconds" in line.name:
        return units.seconds(value)
    return units.score(metric, value) if line.name in {"metric", metric} else units.count(value)


def _size(row: Row, baseline: Row) -> str:
    if not (row.size and baseline.size):
        return ""
    if row.size.delta_bytes:
        return f"a delta of {units.bytes_(row.size.delta_bytes)} on a base of {units.bytes_(baseline.size.bytes)}"
    words = f"{units.bytes_(row.size.bytes)} in place of {units.bytes_(baseline.size.bytes)}"
    smaller = baseline.size.bytes / row.size.bytes if row.size.bytes else 0.0
    return f"{words} ({units.ratio(smaller)} smaller)" if smaller > 1 else words


def _speed(speed: Speed, where: str) -> str:
    if speed.ratio is None:
        return f"{units.seconds(speed.median_seconds)} at {where}"
    limits = units.interval(speed.ratio_interval, _bare) if speed.ratio_interval else "no interval"
    if not units.is_shown(speed.ratio_interval, 1.0):
        return f"no difference in speed shown at {where}: {units.ratio(speed.ratio)} {limits}"
    return f"{units.ratio(speed.ratio)} as fast {limits} at {where}"


def _bare(value: float) -> str:
    return units.ratio(value).removesuffix(units.TIMES)


def _quality(quality: Quality | None, baseline: Row) -> str:
    if quality is None or baseline.quality is None:
        return ""
    name = quality.metric
    words = f"{name} {units.score(name, quality.value)} against {units.score(name, baseline.quality.value)}"
    if quality.difference is None:
        return words
    limits = quality.difference_interval
    shown = units.interval(limits, lambda value: units.point(name, value)) if limits else "no interval"
    gap = f"{units.difference(name, quality.difference)} {shown} on {quality.examples:,} examples"
    noise = "" if units.is_shown(limits, 0.0, quality.p_value) else ", a difference within noise"
    known = f"{words}{noise}: {gap}"
    return known if quality.beats_a_constant else f"{known}; {no_better(quality)}"


def _predicted(report: Report) -> str:
    """From the baseline to the smallest row. Sizes alone: nothing else is known."""
    sized = [row for row in report.rows if row.size]
    if not sized:
        return "Predicted: nothing was run."
    first = next((row for row in sized if row.baseline), sized[0])
    least = min(sized, key=lambda row: row.size.bytes if row.size else 0)
    return f"Predicted, nothing was run: {least.id} would be {_size(least, first)}."


def _only_one(report: Report, baseline: Row | None) -> str:
    if baseline is None and len(report.rows) == 1:
        return _alone(report)
    if baseline is None or baseline.quality is None:
        return "No row was measured against a baseline." if report.rows else "No stage has finished."
    value = units.score(baseline.quality.metric, baseline.quality.value)
    return f"{baseline.id} is the baseline ({baseline.quality.metric} {value}); no other row was measured."


def _alone(report: Report) -> str:
    """Size, quality and every time of one row that was measured by itself."""
    row = report.rows[0]
    facts = [f"{units.bytes_(row.size.bytes)} of model files"] if row.size else []
    if row.quality:
        facts.append(f"{row.quality.metric} {units.score(row.quality.metric, row.quality.value)}")
    facts += [
        f"{units.seconds(speed.median_seconds)} at {describe(point)}"
        for point in points(report)
        if (speed := speed_at(row, point))
    ]
    return f"{row.id}: {'; '.join(facts) or 'nothing was measured'}."
