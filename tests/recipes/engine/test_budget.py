"""A budget is judged on one row, by its intervals."""

from __future__ import annotations

import pytest

from recipes.engine.budget import judge, main_speed
from recipes.file.recipe import Budget
from recipes.record import Cost, Quality, Row, Size, Speed


def row(id: str, *, bytes: int = 10, ratio: float = 3.0, difference=(-0.01, (-0.02, 0.0)), **fields) -> Row:
    value, interval = difference
    speeds = [
        Speed(
            batch_size=batch, sequence_length=length, median_seconds=1, p95_seconds=1, examples_per_second=1,
            ratio=times, ratio_interval=(times - 0.1, times + 0.1), repeats=5, threads=1,
        )
        for batch, length, times in ((1, 128, 9.0), (8, "data", 99.0), (8, 128, ratio))
    ]  # fmt: skip
    quality = Quality(
        metric="accuracy", value=0.9, interval=(0.8, 0.95), examples=100, difference=value, difference_interval=interval
    )
    return Row(id=id, stage="prune", size=Size(bytes=bytes, parameters=1), speed=speeds, quality=quality, **fields)


def verdicts(lines) -> dict[str, str]:
    return {line.name: line.verdict for line in lines}


def test_without_a_budget_nothing_is_judged():
    assert judge(None, [row("a")]) == []


def test_one_row_must_meet_all_lines():
    budget = Budget(size=20, speedup=5)
    small, fast, both = row("small", ratio=1), row("fast", bytes=99, ratio=6), row("both", ratio=6)
    assert verdicts(judge(budget, [small, fast])) in (
        {"size": "met", "speedup": "missed"},
        {"size": "missed", "speedup": "met"},
    )
    lines = judge(budget, [small, fast, both])
    assert {line.row for line in lines} == {"both"} and set(verdicts(lines).values()) == {"met"}


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-0.02, 0.0), "met"), ((-0.04, 0.0), "not decidable"), ((-0.09, -0.03), "missed")],
)
def test_a_drop_is_judged_by_its_whole_interval(interval, verdict):
    lines = judge(Budget(metric_drop=0.025), [row("a", difference=(sum(interval) / 2, interval))])
    assert verdicts(lines) == {"metric_drop": verdict}
    assert ("lies between 0.0 pp and 4.0 pp" in lines[0].reason) == (verdict == "not decidable")


def test_a_speedup_is_judged_at_the_largest_batch_and_fixed_length():
    speed = main_speed(row("a"))
    assert speed is not None and (speed.batch_size, speed.sequence_length) == (8, 128)
    assert "batch 8, length 128" in judge(Budget(speedup=2), [row("a")])[0].reason


def test_a_model_that_answers_nothing_meets_no_budget():
    untrained = Row(id="source", stage="source", size=Size(bytes=1, parameters=1))
    lines = judge(Budget(size=20), [untrained, row("a", bytes=99)])
    assert [(line.row, line.verdict) for line in lines] == [("a", "missed")]


def test_the_baseline_meets_no_budget():
    assert judge(Budget(size=20), [row("a", baseline=True)]) == []
    unmeasured = Row(id="b", stage="prune", size=Size(bytes=10, parameters=1))
    assert verdicts(judge(Budget(speedup=2, metric_drop=0.1), [unmeasured])) == {
        "speedup": "not decidable",
        "metric_drop": "not decidable",
    }


def test_every_stage_that_trains_must_stay_below_the_memory():
    def trained(id: str, peak: int) -> Row:
        return row(id, cost=Cost(seconds=1, peak_bytes=peak + 100, import_bytes=100, trained_parameters=5))

    small, large = trained("small", 900), trained("large", 2000)
    line = judge(Budget(training_memory="1kB"), [small, large])[-1]
    assert (line.name, line.verdict, line.row, line.measured) == ("training_memory", "missed", "large", 2000)
    assert verdicts(judge(Budget(training_memory="1kB"), [small])) == {"training_memory": "met"}
    assert verdicts(judge(Budget(training_memory="1kB"), [row("a")])) == {"training_memory": "not decidable"}
