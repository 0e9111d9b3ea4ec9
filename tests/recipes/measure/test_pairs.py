"""Neighbours by their metric are compared on the same examples."""

from __future__ import annotations

import numpy as np
import pytest

from compress.core.answers import Known
from compress.core.statistics import shares
from finetune.tasks.metrics.metric import metric_named
from recipes.measure.pairs import neighbours
from tests.tiny import class_answers, right_answers

LABELS = np.array([0, 1] * 100)
TARGETS = right_answers(LABELS)


def answers(right: int) -> Known:
    """Logits that are right on the first `right` examples."""
    said = np.where(np.arange(len(LABELS)) < right, LABELS, 1 - LABELS)
    return class_answers(np.eye(2)[said])


def test_each_row_is_compared_with_the_next_worse() -> None:
    pairs = neighbours(
        metric_named("accuracy"), {"low": [answers(100)], "high": [answers(180)], "middle": [answers(176)]}, TARGETS
    )
    assert [(pair.better, pair.worse) for pair in pairs] == [("high", "middle"), ("middle", "low")]
    first, second = pairs
    assert first.difference == pytest.approx(4 / 200) and second.difference == pytest.approx(76 / 200)
    assert first.interval == shares.paired_share_interval(4, 0, 200)
    assert first.p_value == shares.mcnemar_p_value(4, 0) > 0.05
    assert second.interval[0] > 0 and second.p_value < 0.001
    assert (first.seeds, first.examples) == (1, 200)


def test_several_seeds_are_averaged_on_the_same_examples() -> None:
    seeds = {"one": [answers(150), answers(160)], "other": [answers(152), answers(158)]}
    (pair,) = neighbours(metric_named("matthews"), seeds, TARGETS, resamples=200)
    assert pair.seeds == 2 and pair.interval[0] <= 0 <= pair.interval[1] and pair.p_value > 0.05
    score = metric_named("matthews").score
    means = {name: np.mean([score(one, TARGETS) for one in found]) for name, found in seeds.items()}
    assert pair.difference == pytest.approx(abs(means["one"] - means["other"]))
