"""Correlations of numbers, by scipy: the answer is the model's single output."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from compress.core.answers import Beside, Known
from finetune.tasks.metrics.metric import Metric

__all__ = ["Numbers", "Pearson", "Spearman"]


class Numbers(Metric):
    """Answers are numbers (rows, 1), and so are the right ones (rows,)."""

    def beside(self, answers: Known, targets: Known) -> Beside:
        """A constant has no correlation."""
        return Beside(constant=0.0)


class Pearson(Numbers):
    """The linear correlation of outputs and labels; 0 where either is constant."""

    metric: ClassVar[str] = "pearson"

    def score(self, answers: Known, targets: Known) -> float:
        from scipy.stats import pearsonr

        return _correlation(pearsonr, answers.values, targets.values)


class Spearman(Numbers):
    """The rank correlation of outputs and labels; 0 where either is constant."""

    metric: ClassVar[str] = "spearman"

    def score(self, answers: Known, targets: Known) -> float:
        from scipy.stats import spearmanr

        return _correlation(spearmanr, answers.values, targets.values)


def _correlation(measure: Callable[..., tuple[float, float]], given: np.ndarray, labels: np.ndarray) -> float:
    outputs = given.reshape(len(labels), -1)[:, 0].astype(np.float64)
    if len(labels) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant input, which is answered here
        value = float(measure(outputs, labels.astype(np.float64))[0])
    return value if np.isfinite(value) else 0.0
