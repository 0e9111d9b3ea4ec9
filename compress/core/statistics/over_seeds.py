"""Intervals of a difference between two methods that were each trained with several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from compress.core.statistics.resampling import PairedDifference

__all__ = ["difference_over_seeds"]


def difference_over_seeds(
    above: Sequence[float], below: Sequence[float], *, sampling_error: float, examples: int
) -> PairedDifference:
    """Difference of two methods' mean scores, over the examples and over further trainings.

        v = e^2 + s_a^2 / k_a + s_b^2 / k_b,    interval = mean(a) - mean(b) +- t_0.975(df) sqrt(v)

    with e the standard error over the examples, s the standard deviation between a method's seeds, and Satterthwaite's
    degrees of freedom. A part of the seeds' spread is in e too, so that the interval is somewhat wide where the seeds
    hardly differ; a bootstrap of three seeds would be too narrow.

    Args:
        above: scores of the first method, one for each seed; one score for a method that draws nothing.
        below: those of the second.
        sampling_error: e, of the difference of the means over the seeds on the same examples.
        examples: n, examples in the split.

    References: Satterthwaite 1946, Biometrics Bulletin 2, 110-114.
    """
    from scipy.stats import t

    value = float(np.mean(above) - np.mean(below))
    parts = [(sampling_error**2, examples - 1), *(_of_seeds(scores) for scores in (above, below))]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return PairedDifference(value, (value, value), 1.0 if value == 0 else 0.0, 0.0)
    freedom = variance**2 / sum(part**2 / max(1, degrees) for part, degrees in parts)
    error, reach = sqrt(variance), float(t.ppf(0.975, freedom))
    p_value = float(2 * t.sf(abs(value) / error, freedom))
    return PairedDifference(value, (value - reach * error, value + reach * error), p_value, error)


def _of_seeds(scores: Sequence[float]) -> tuple[float, int]:
    """Variance of a method's mean over its seeds, and its degrees of freedom."""
    if len(scores) < 2:
        return 0.0, 1
    return float(np.var(scores, ddof=1)) / len(scores), len(scores) - 1
