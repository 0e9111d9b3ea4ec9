"""Metrics against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.tasks.metrics import CLASSIFICATION, METRICS, REGRESSION

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 200)
LOGITS = RANDOM.normal(size=(200, 2)) + np.eye(2)[LABELS]


def counts() -> tuple[int, int, int, int]:
    said = LOGITS.argmax(-1)
    pairs = [(1, 1), (1, 0), (0, 1), (0, 0)]
    return tuple(int(((said == a) & (b == LABELS)).sum()) for a, b in pairs)  # type: ignore[return-value]


def test_binary_metrics() -> None:
    hit, false, missed, right = counts()
    assert METRICS["accuracy"](LOGITS, LABELS) == pytest.approx((hit + right) / 200)
    assert METRICS["f1"](LOGITS, LABELS) == pytest.approx(2 * hit / (2 * hit + false + missed))
    root = ((hit + false) * (hit + missed) * (right + false) * (right + missed)) ** 0.5
    assert METRICS["matthews"](LOGITS, LABELS) == pytest.approx((hit * right - false * missed) / root)


def test_f1_of_three_classes_is_the_mean_over_all_of_them() -> None:
    logits = np.eye(3)[[0, 0, 1, 1]]
    assert METRICS["f1"](logits, np.array([0, 0, 1, 0])) == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_correlations() -> None:
    x, y = RANDOM.normal(size=50), RANDOM.normal(size=50)
    assert METRICS["pearson"](x[:, None], y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    assert METRICS["spearman"](x[:, None], y) == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_model_that_says_one_thing_has_a_number(name: str) -> None:
    logits = np.ones((10, 1)) if name in REGRESSION else np.tile([0.0, 1.0], (10, 1))
    value = METRICS[name](logits, np.arange(10) % 2)
    assert np.isfinite(value)
    assert set(METRICS) == {*CLASSIFICATION, *REGRESSION}
