"""Whether a ticket matches the full model: as the paper judges, and by a paired interval. Pure functions of logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from compress.core.statistics import RESAMPLES, paired_bootstrap

__all__ = ["Matching", "Paired", "Score", "matching", "paired"]

Score = Callable[[np.ndarray, np.ndarray], float]
"""The metric of logits (rows, labels) and labels (rows,); higher is better."""


@dataclass(frozen=True)
class Paired:
    """A difference on the same examples, the mean over the seeds, with its 95 % interval."""

    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Matching:
    """A ticket beside the full model.

    Attributes:
        scores, full_scores: of each seed.
        deviation: the standard deviation of the full model's scores over the seeds; None with one seed.
        within_one_deviation: the paper's rule; None with one seed.
        paired: ticket less full model.
        strictly: the interval does not lie below zero, so that these examples show no loss.
    """

    scores: tuple[float, ...]
    full_scores: tuple[float, ...]
    deviation: float | None
    within_one_deviation: bool | None
    paired: Paired

    @property
    def strictly(self) -> bool:
        return self.paired.interval[1] >= 0


def matching(
    score: Score,
    labels: np.ndarray,
    ticket: Sequence[np.ndarray],
    full: Sequence[np.ndarray],
    *,
    is_share: bool = False,
) -> Matching:
    """Whether the ticket does as well as the full model.

    The paper's rule: the mean of the ticket is not below the mean of the full model by more than one standard
    deviation of the full model over the seeds. Strictly: the 95 % interval of the paired difference does not lie below
    zero. The first asks about training again, the second about other examples.

    Args:
        score: the metric.
        labels: (rows,).
        ticket, full: for each seed the logits (rows, labels); the same rows, and the same seeds in the same order.
        is_share: whether the metric is the share of rows that are answered right.

    References:
        Chen et al. 2020, arXiv 2007.12223, section 3: "within one standard deviation".
    """
    scores, full_scores = (tuple(score(logits, labels) for logits in runs) for runs in (ticket, full))
    deviation = float(np.std(full_scores, ddof=1)) if len(full_scores) > 1 else None
    within = None if deviation is None else bool(np.mean(scores) >= np.mean(full_scores) - deviation)
    return Matching(scores, full_scores, deviation, within, paired(score, labels, ticket, full, is_share=is_share))


def paired(
    score: Score,
    labels: np.ndarray,
    one: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    *,
    is_share: bool = False,
    resamples: int = RESAMPLES,
) -> Paired:
    """The mean over the seeds of score(one) - score(other), and its percentile bootstrap interval over the examples.

    The examples are drawn alike for all seeds and both models. The spread between seeds is not in the interval.

    Args:
        is_share: whether the metric is the share of rows that are answered right; then the resamples take no time.

    References:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """

    def difference(index: np.ndarray) -> float:
        chosen = labels[index]
        return float(np.mean([score(a[index], chosen) - score(b[index], chosen) for a, b in zip(one, other)]))

    if is_share:
        gains = np.mean([_right(a, labels) - _right(b, labels) for a, b in zip(one, other)], axis=0)
        found = paired_bootstrap(lambda index: float(gains[index].mean()), len(labels), resamples=resamples)
    else:
        found = paired_bootstrap(difference, len(labels), resamples=resamples)
    return Paired(difference(np.arange(len(labels))), found.interval)


def _right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1.0 for each row whose largest logit is the label's."""
    return (logits.argmax(-1) == labels).astype(np.float64)
