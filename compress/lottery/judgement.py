"""Whether a ticket matches the full model: as the paper judges, and by a paired interval. Pure functions of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compress.core.answers import Known
from compress.core.stage.task import Scoring
from compress.core.statistics.resampling import RESAMPLES, paired_bootstrap

__all__ = ["Matching", "Paired", "matching", "paired"]


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


def matching(task: Scoring, targets: Known, ticket: Sequence[Known], full: Sequence[Known]) -> Matching:
    """Whether the ticket does as well as the full model.

    The paper's rule: the mean of the ticket is not below the mean of the full model by more than one standard
    deviation of the full model over the seeds. Strictly: the 95 % interval of the paired difference does not lie below
    zero. The first asks about training again, the second about other examples.

    Args:
        task: scores the answers.
        targets: the right ones.
        ticket, full: the answers of each seed; to the same rows, and the same seeds in the same order.

    References:
        Chen et al. 2020, arXiv 2007.12223, section 3: "within one standard deviation".
    """
    scores, full_scores = (tuple(task.score(answers, targets) for answers in runs) for runs in (ticket, full))
    deviation = float(np.std(full_scores, ddof=1)) if len(full_scores) > 1 else None
    within = None if deviation is None else bool(np.mean(scores) >= np.mean(full_scores) - deviation)
    return Matching(scores, full_scores, deviation, within, paired(task, targets, ticket, full))


def paired(
    task: Scoring, targets: Known, one: Sequence[Known], other: Sequence[Known], *, resamples: int = RESAMPLES
) -> Paired:
    """The mean over the seeds of score(one) - score(other), and its percentile bootstrap interval over the examples.

    The examples are drawn alike for all seeds and both models. The spread between seeds is not in the interval.

    Args:
        task: scores the answers.
        targets: the right ones.
        one, other: the answers of each seed.
        resamples: of the bootstrap.
    """
    gains = _gains(task, targets, one, other)

    def difference(rows: np.ndarray) -> float:
        if gains is not None:
            return float(gains[rows].mean())
        right = targets.take(rows)
        scores = [(task.score(a.take(rows), right), task.score(b.take(rows), right)) for a, b in zip(one, other)]
        return float(np.mean([a - b for a, b in scores]))

    found = paired_bootstrap(difference, len(targets), resamples=resamples)
    value = float(np.mean([task.score(a, targets) - task.score(b, targets) for a, b in zip(one, other)]))
    return Paired(value, found.interval)


def _gains(task: Scoring, targets: Known, one: Sequence[Known], other: Sequence[Known]) -> np.ndarray | None:
    """What each row adds to the difference, where the metric is a share of rows: then a resample takes no time."""
    if not all(task.is_share(answers) for answers in (*one, *other)):
        return None
    right = [[task.right(answers, targets) for answers in pair] for pair in zip(one, other)]
    return np.mean([a.astype(float) - b.astype(float) for a, b in right if a is not None and b is not None], axis=0)
