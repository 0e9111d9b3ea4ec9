"""Bootstrap intervals and paired tests, from scores by example. Intervals are at 95 %, tests two-sided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compress.core.statistics.shares import Interval

__all__ = [
    "RESAMPLES",
    "PairedDifference",
    "bootstrap",
    "bootstrap_p_value",
    "median_ratio",
    "paired_bootstrap",
    "percentile_interval",
]

RESAMPLES = 1000


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray | float], examples: int, *, resamples: int, seed: int
) -> np.ndarray:
    """Bootstrap: `statistic(index)` for `resamples` draws of `examples` indices with replacement.

    Args:
        statistic: indices (examples,) -> a number, or an array.
        examples: number of examples.
        resamples: number of draws.
        seed: of the draws.

    References: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    generator = np.random.default_rng(seed)
    return np.array([statistic(generator.integers(0, examples, examples)) for _ in range(resamples)], dtype=float)


def percentile_interval(draws: np.ndarray) -> Interval:
    """Percentile interval: the middle 95 % of bootstrap draws. A draw on which the statistic is NaN is left out."""
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_p_value(differences: np.ndarray) -> float:
    """Bootstrap p-value: twice the smaller tail beyond zero, below 0.05 where the percentile interval excludes zero."""
    differences = differences[~np.isnan(differences)]
    count = len(differences) + 1
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / count)


@dataclass(frozen=True)
class PairedDifference:
    """Paired difference of a statistic of two models on the same examples.

    Attributes:
        value: on all examples; NaN where only resamples were given.
        interval: percentile bootstrap.
        p_value: of no difference.
        error: the standard error, the standard deviation of the resamples.
    """

    value: float
    interval: Interval
    p_value: float
    error: float

    @classmethod
    def of(cls, draws: np.ndarray, value: float = float("nan")) -> PairedDifference:
        """From the differences on bootstrap draws of the examples.

        Args:
            draws: differences (resamples,).
            value: the difference on all examples.
        """
        return cls(value, percentile_interval(draws), bootstrap_p_value(draws), float(np.nanstd(draws, ddof=1)))


def paired_bootstrap(
    difference: Callable[[np.ndarray], float], examples: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedDifference:
    """Paired bootstrap over examples: each resample draws the same ones for both models.

    Args:
        difference: the difference of the two models on the examples of these indices; with several training seeds the
            mean over the seeds, whose spread is then not in the interval.
        examples: number of examples.
        resamples: number of draws.
        seed: of the draws.

    References: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    draws = bootstrap(difference, examples, resamples=resamples, seed=seed)
    return PairedDifference.of(draws, difference(np.arange(examples)))


def median_ratio(
    above: np.ndarray, below: np.ndarray, *, seed: int = 0, resamples: int = 2000
) -> tuple[float, Interval]:
    """Median ratio of paired timings, with its percentile bootstrap interval over the pairs.

    Args:
        above: numerators (pairs,), in seconds.
        below: denominators (pairs,), in seconds.
        seed: of the bootstrap.
        resamples: number of draws.
    """
    ratios = np.asarray(above, dtype=float) / np.asarray(below, dtype=float)
    index = np.random.default_rng(seed).integers(0, len(ratios), (resamples, len(ratios)))
    return float(np.median(ratios)), percentile_interval(np.median(ratios[index], axis=1))
