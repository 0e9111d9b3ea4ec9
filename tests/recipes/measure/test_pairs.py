"""Neighbours by their metric are compared on the same examples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from compress.core import statistics
from finetune.tasks.metrics import METRICS
from recipes.measure.pairs import neighbours

LABELS = np.array([0, 1] * 100)
RANDOM = np.random.default_rng(0)


def task(metric: str) -> SimpleNamespace:
    return SimpleNamespace(metric=metric, regression=False, score=METRICS[metric])


def answers(right: int) -> np.ndarray:
    """Logits that are right on the first `right` examples."""
    said = np.where(np.arange(len(LABELS)) < right, LABELS, 1 - LABELS)
    return np.eye(2)[said]


def test_each_row_is_compared_with_the_next_worse() -> None:
    pairs = neighbours(
        task("accuracy"), {"low": [answers(100)], "high": [answers(180)], "middle": [answers(176)]}, LABELS
    )
    assert [(pair.better, pair.worse) for pair in pairs] == [("high", "middle"), ("middle", "low")]
    first, second = pairs
    assert first.difference == pytest.approx(4 / 200) and second.difference == pytest.approx(76 / 200)
    assert first.interval == statistics.paired_share_interval(4, 0, 200)
    assert first.p_value == statistics.mcnemar_p_value(4, 0) > 0.05
    assert second.interval[0] > 0 and second.p_value < 0.001
    assert (first.seeds, first.examples) == (1, 200)


def test_several_seeds_are_averaged_on_the_same_examples() -> None:
    seeds = {"one": [answers(150), answers(160)], "other": [answers(152), answers(158)]}
    (pair,) = neighbours(task("matthews"), seeds, LABELS, resamples=200)
    assert pair.seeds == 2 and pair.interval[0] <= 0 <= pair.interval[1] and pair.p_value > 0.05
    score = METRICS["matthews"]
    means = {name: np.mean([score(logits, LABELS) for logits in found]) for name, found in seeds.items()}
    assert pair.difference == pytest.approx(abs(means["one"] - means["other"]))
