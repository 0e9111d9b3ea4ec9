"""Ranking of rows by their metric, with paired comparisons of neighbours on the same examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from compress.core.answers import Known
from compress.core.statistics import resampling, shares
from compress.core.statistics.over_seeds import difference_over_seeds
from compress.core.statistics.resampling import RESAMPLES
from recipes.measure.quality import turned
from recipes.record import Pair

if TYPE_CHECKING:
    from compress.core.stage.task import Scoring

__all__ = ["neighbours", "pair"]


def neighbours(
    task: Scoring, answers: Mapping[str, Sequence[Known]], targets: Known, *, resamples: int = RESAMPLES
) -> list[Pair]:
    """The rows from the best to the worst metric, each with the next, and the paired interval of their difference.

    Args:
        task: scores the answers.
        answers: row -> those of each seed, to the same examples; as many seeds for every row.
        targets: the right ones.
        resamples: of the bootstrap.
    """
    value = {name: float(np.mean([task.score(one, targets) for one in seeds])) for name, seeds in answers.items()}
    order = sorted(value, key=lambda name: -value[name])
    return [
        pair(task, (name, answers[name]), (other, answers[other]), targets, resamples=resamples)
        for name, other in pairwise(order)
    ]


def pair(
    task: Scoring,
    better: tuple[str, Sequence[Known]],
    worse: tuple[str, Sequence[Known]],
    targets: Known,
    *,
    resamples: int = RESAMPLES,
) -> Pair:
    """Two rows compared on the same examples, each a name and its answers for each seed.

    One seed: Tango's interval and the exact McNemar test for a share of rows (accuracy), else a paired bootstrap over
    the examples; it is a statement about these two trained models. Several seeds: the difference of the means, over the
    examples and over further trainings (`difference_over_seeds`).

    Args:
        task: scores the answers.
        better, worse: the two rows.
        targets: the right answers.
        resamples: of the bootstrap.
    """
    (name, above), (other, below) = better, worse

    def difference(rows: np.ndarray) -> float:
        right = targets.take(rows)
        scores = [(task.score(a.take(rows), right), task.score(b.take(rows), right)) for a, b in _both(above, below)]
        return float(np.mean([a - b for a, b in scores]))

    found = _of_seeds(task, above, below, targets, difference, resamples) if len(above) > 1 else None
    rights = [task.right(seeds[0], targets) if task.is_share(seeds[0]) else None for seeds in (above, below)]
    if found is None and rights[0] is not None and rights[1] is not None:
        gained, lost = turned(rights[0], rights[1])
        interval = shares.paired_share_interval(gained, lost, len(targets))
        p_value = shares.mcnemar_p_value(gained, lost)
    else:
        found = found or resampling.paired_bootstrap(difference, len(targets), resamples=resamples)
        interval, p_value = found.interval, found.p_value
    return Pair(
        better=name, worse=other, difference=difference(np.arange(len(targets))), interval=interval, p_value=p_value,
        seeds=len(above), examples=len(targets),
    )  # fmt: skip


def _of_seeds(
    task: Scoring,
    above: Sequence[Known],
    below: Sequence[Known],
    targets: Known,
    difference: Callable[[np.ndarray], float],
    resamples: int,
) -> resampling.PairedDifference:
    scores = [[task.score(one, targets) for one in seeds] for seeds in (above, below)]
    rights = [[task.right(one, targets) if task.is_share(one) else None for one in seeds] for seeds in (above, below)]
    if all(one is not None for seeds in rights for one in seeds):
        by_example = np.mean(np.asarray(rights[0], dtype=float), 0) - np.mean(np.asarray(rights[1], dtype=float), 0)
        error = float(by_example.std(ddof=1) / np.sqrt(len(by_example)))
    else:
        error = resampling.paired_bootstrap(difference, len(targets), resamples=resamples).error
    return difference_over_seeds(*scores, sampling_error=error, examples=len(targets))


def _both(above: Sequence[Known], below: Sequence[Known]) -> Iterator[tuple[Known, Known]]:
    return zip(above, below, strict=True)
