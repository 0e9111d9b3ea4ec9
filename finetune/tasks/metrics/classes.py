"""Metrics of classes, by scikit-learn where they are more than a mean: the largest logit is the answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from compress.core.answers import Beside, Known
from finetune.tasks.metrics.metric import Metric

__all__ = ["F1", "Accuracy", "Classes", "Matthews"]


class Classes(Metric):
    """Answers are class logits (items, classes), and the right ones are class numbers (items,)."""

    def score(self, answers: Known, targets: Known) -> float:
        return self.value(answers.values, targets.values)

    @abstractmethod
    def value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The metric of logits (items, classes) and class numbers (items,)."""

    def beside(self, answers: Known, targets: Known) -> Beside:
        """With every class tried as the constant answer."""
        logits = answers.values
        counts = np.bincount(logits.argmax(-1), minlength=logits.shape[-1])
        constant = max(self.value(np.broadcast_to(one, logits.shape), targets.values) for one in np.eye(len(counts)))
        accuracy = float(np.mean(logits.argmax(-1) == targets.values))
        return Beside(constant, float(counts.max() / counts.sum()), accuracy if self.metric != "accuracy" else None)

    def right(self, answers: Known, targets: Known) -> np.ndarray:
        return _every_item(answers, answers.values.argmax(-1) == targets.values)

    def changed(self, answers: Known, before: Known) -> np.ndarray:
        return ~_every_item(answers, answers.values.argmax(-1) == before.values.argmax(-1))

    def mean_kl(self, answers: Known, before: Known) -> float:
        from scipy.special import log_softmax

        old, new = (log_softmax(one.values.astype(np.float64), axis=-1) for one in (before, answers))
        return max(0.0, float((np.exp(old) * (old - new)).sum(-1).mean()))

    def confidence(self, answers: Known) -> np.ndarray:
        from scipy.special import softmax

        surest = softmax(answers.values.astype(np.float64), axis=-1).max(-1)
        return surest if answers.counts is None else np.array([row.mean() for row in answers.of_each_row(surest)])


def _every_item(answers: Known, holds: np.ndarray) -> np.ndarray:
    """(rows,): whether it holds for all items of a row."""
    return holds if answers.counts is None else np.array([bool(row.all()) for row in answers.of_each_row(holds)])


class Accuracy(Classes):
    """The share of rows (of tokens, where they are answered) whose largest logit is the label's."""

    metric: ClassVar[str] = "accuracy"

    def is_share(self, answers: Known) -> bool:
        return answers.counts is None

    def value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean(labels == logits.argmax(-1)))


class F1(Classes):
    """F1 of class 1 where there are two, else the mean over the classes; 0 where it is undefined."""

    metric: ClassVar[str] = "f1"

    def value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        classes = logits.shape[-1]
        average = "binary" if classes == 2 else "macro"
        settings = {} if classes == 2 else {"labels": list(range(classes))}
        return float(f1_score(labels, logits.argmax(-1), average=average, zero_division=0, **settings))


class Matthews(Classes):
    """Matthews' correlation coefficient; 0 where one class alone is predicted."""

    metric: ClassVar[str] = "matthews"

    def value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        from sklearn.metrics import matthews_corrcoef

        return float(matthews_corrcoef(labels, logits.argmax(-1)))
