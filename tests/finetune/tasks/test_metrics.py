"""Metrics against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from compress.core.answers import Answers
from compress.core.errors import UnknownName
from finetune.tasks.metrics.metric import metric_named
from finetune.tasks.text_classification import OF_CLASSES, OF_NUMBERS
from tests.tiny import class_answers, right_answers

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 200)
LOGITS = RANDOM.normal(size=(200, 2)) + np.eye(2)[LABELS]


def of(name: str, logits: np.ndarray, labels: np.ndarray) -> float:
    return metric_named(name).score(class_answers(logits), right_answers(labels))


def counts() -> tuple[int, int, int, int]:
    said = LOGITS.argmax(-1)
    pairs = [(1, 1), (1, 0), (0, 1), (0, 0)]
    return tuple(int(((said == a) & (b == LABELS)).sum()) for a, b in pairs)  # type: ignore[return-value]


def test_binary_metrics() -> None:
    hit, false, missed, right = counts()
    assert of("accuracy", LOGITS, LABELS) == pytest.approx((hit + right) / 200)
    assert of("f1", LOGITS, LABELS) == pytest.approx(2 * hit / (2 * hit + false + missed))
    root = ((hit + false) * (hit + missed) * (right + false) * (right + missed)) ** 0.5
    assert of("matthews", LOGITS, LABELS) == pytest.approx((hit * right - false * missed) / root)


def test_f1_of_three_classes_is_the_mean_over_all_of_them() -> None:
    logits = np.eye(3)[[0, 0, 1, 1]]
    assert of("f1", logits, np.array([0, 0, 1, 0])) == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_correlations() -> None:
    x, y = RANDOM.normal(size=50), RANDOM.normal(size=50)
    assert of("pearson", x[:, None], y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    assert of("spearman", x[:, None], y) == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_NUMBERS])
def test_a_model_that_says_one_thing_has_a_number(name: str) -> None:
    logits = np.ones((10, 1)) if name in OF_NUMBERS else np.tile([0.0, 1.0], (10, 1))
    value = of(name, logits, np.arange(10) % 2)
    assert np.isfinite(value)


def test_an_unknown_metric_names_the_near_one() -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        metric_named("acuracy")


def test_a_row_of_several_items_is_right_where_all_of_them_are() -> None:
    said, right = np.eye(2)[[0, 1, 1, 0, 1]], np.array([0, 1, 0, 0, 1])
    answers, targets = (Answers(np.arange(3), values, np.array([2, 1, 2])) for values in (said, right))
    accuracy = metric_named("accuracy")
    assert accuracy.right(answers, targets).tolist() == [True, False, True]
    assert accuracy.score(answers, targets) == 4 / 5 and not accuracy.is_share(answers)
    assert accuracy.score(answers.take(np.array([1, 1, 0])), targets.take(np.array([1, 1, 0]))) == 2 / 4
