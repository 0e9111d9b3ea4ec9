"""Rows that stand next to each other by their metric, each pair compared on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from compress.core import statistics
from compress.core.statistics import RESAMPLES
from recipes.measure.quality import Scoring
from recipes.record import Pair

__all__ = ["neighbours", "pair"]


def neighbours(
    task: Scoring, logits: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray, *, resamples: int = RESAMPLES
) -> list[Pair]:
    """The rows from the best to the worst metric, each with the next, and the paired interval of their difference.

    Args:
        logits: row -> for each seed (examples, labels), of the same examples; as many seeds for every row.
        labels: (examples,).
    """
    labels = np.asarray(labels)
    value = {name: float(np.mean([task.score(seed, labels) for seed in seeds])) for name, seeds in logits.items()}
    order = sorted(value, key=lambda name: -value[name])
    return [
        pair(task, (name, logits[name]), (other, logits[other]), labels, resamples=resamples)
        for name, other in pairwise(order)
    ]


def pair(
    task: Scoring,
    better: tuple[str, Sequence[np.ndarray]],
    worse: tuple[str, Sequence[np.ndarray]],
    labels: np.ndarray,
    *,
    resamples: int = RESAMPLES,
) -> Pair:
    """Two rows compared on the same examples, each a name and its logits (examples, labels) for each seed.

    One seed and accuracy: Tango's interval and the exact McNemar test. Otherwise the means over the seeds are compared
    by a bootstrap over the examples, which are drawn alike for all seeds and both rows; the spread between seeds is
    not in that interval.
    """
    (name, above), (other, below) = better, worse

    def difference(index: np.ndarray) -> float:
        chosen = labels[index]
        gaps = [task.score(a[index], chosen) - task.score(b[index], chosen) for a, b in zip(above, below, strict=True)]
        return float(np.mean(gaps))

    if len(above) == 1 and task.metric == "accuracy":
        right, wrong = (rows[0].argmax(-1) == labels for rows in (above, below))
        gained, lost = int((right & ~wrong).sum()), int((wrong & ~right).sum())
        interval = statistics.paired_share_interval(gained, lost, len(labels))
        p_value = statistics.mcnemar_p_value(gained, lost)
    else:
        found = statistics.paired_bootstrap(difference, len(labels), resamples=resamples)
        interval, p_value = found.interval, found.p_value
    return Pair(
        better=name, worse=other, difference=difference(np.arange(len(labels))), interval=interval, p_value=p_value,
        seeds=len(above), examples=len(labels),
    )  # fmt: skip
