"""Metrics of logits, by scikit-learn and scipy where they are more than a mean. Higher is better."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

__all__ = ["CLASSIFICATION", "METRICS", "REGRESSION"]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of rows whose largest logit is the label's."""
    return float(np.mean(np.asarray(labels) == logits.argmax(-1)))


def f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1 where there are two, else the mean over the classes; 0 where it is undefined."""
    from sklearn.metrics import f1_score

    classes = logits.shape[-1]
    average = "binary" if classes == 2 else "macro"
    settings = {} if classes == 2 else {"labels": list(range(classes))}
    return float(f1_score(labels, logits.argmax(-1), average=average, zero_division=0, **settings))


def matthews(logits: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation coefficient; 0 where one class alone is predicted."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, logits.argmax(-1)))


def pearson(logits: np.ndarray, labels: np.ndarray) -> float:
    """The linear correlation of outputs and labels; 0 where either is constant."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, logits, labels)


def spearman(logits: np.ndarray, labels: np.ndarray) -> float:
    """The rank correlation of outputs and labels; 0 where either is constant."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, logits, labels)


def _correlation(measure: Callable[..., tuple[float, float]], logits: np.ndarray, labels: np.ndarray) -> float:
    outputs = logits.reshape(len(labels), -1)[:, 0].astype(np.float64)
    if len(labels) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant input, which is answered here
        value = float(measure(outputs, labels.astype(np.float64))[0])
    return value if np.isfinite(value) else 0.0


CLASSIFICATION = {"accuracy": accuracy, "f1": f1, "matthews": matthews}
REGRESSION = {"pearson": pearson, "spearman": spearman}
METRICS = {**CLASSIFICATION, **REGRESSION}
