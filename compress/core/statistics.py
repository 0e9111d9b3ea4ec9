"""Intervals and tests, as pure functions of counts and scores. All intervals are at 95 %, all tests two-sided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

__all__ = [
    "RESAMPLES",
    "PairedDifference",
    "bootstrap",
    "bootstrap_p_value",
    "mcnemar_p_value",
    "median_ratio",
    "paired_bootstrap",
    "paired_share_interval",
    "percentile_interval",
    "share_interval",
    "smallest_detectable_share",
]

Interval = tuple[float, float]
NORMAL_975 = 1.959963984540054
NORMAL_80 = 0.8416212335729143
RESAMPLES = 1000


def share_interval(successes: int, trials: int) -> Interval:
    """Wilson score interval of a share.

    Args:
        successes: from 0 to `trials`.
        trials: at least 1.

    References: Wilson 1927, JASA 22, 209-212; Newcombe 1998, Statistics in Medicine 17, 857-872, method 3.
    """
    from scipy.stats import binomtest

    found = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def paired_share_interval(gained: int, lost: int, trials: int) -> Interval:
    """Score interval of a difference of two shares that were observed on the same examples.

    It inverts the score test whose value at no difference is McNemar's, so that interval and test agree.

    Args:
        gained: examples right now and wrong before.
        lost: examples wrong now and right before.
        trials: all examples.

    References: Tango 1998, Statistics in Medicine 17, 891-908, eq. 12 to 16.
    """
    from scipy.optimize import brentq

    edge = 1 - 1e-12
    seen = (gained - lost) / trials
    low, high = -1.0, 1.0
    if lost < trials:
        low = brentq(lambda d: _score(d, gained, lost, trials) - NORMAL_975, -edge, min(seen, edge))
    if gained < trials:
        high = brentq(lambda d: _score(d, gained, lost, trials) + NORMAL_975, max(seen, -edge), edge)
    return low, high


def _score(difference: float, gained: int, lost: int, trials: int) -> float:
    """Tango's statistic: standard normal where the true difference is `difference`."""
    linear = (2 * trials - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    root = sqrt(max(0.0, linear * linear - 8 * trials * constant))
    lost_share = max(0.0, (root - linear) / (4 * trials))
    variance = trials * (2 * lost_share + difference * (1 - difference))
    distance = gained - lost - trials * difference
    return distance / sqrt(max(variance, 1e-300)) if distance else 0.0


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Exact McNemar test: the p-value of no difference of two paired shares.

    Args:
        gained: examples right now and wrong before.
        lost: examples wrong now and right before.

    References: McNemar 1947, Psychometrika 12, 153-157; the exact form is the sign test on the discordant pairs.
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def smallest_detectable_share(disagreement: float, trials: int) -> float:
    """Minimum detectable difference of two paired shares, with a power of 80 % at the 5 % level.

    Solves sqrt(n) d = z_0.975 sqrt(p) + z_0.8 sqrt(p - d^2) for d, with p the share of examples on which exactly one of
    the two is right. Where p is too small even for changes in one direction alone, p = d: then the result is the
    detectable difference if every change went one way.

    Args:
        disagreement: p, from 0 to 1.
        trials: n, examples.

    References: Connor 1987, Biometrics 43, 207-211.
    """
    from scipy.optimize import brentq

    def lack(d: float, p: float) -> float:
        return NORMAL_975 * sqrt(p) + NORMAL_80 * sqrt(max(0.0, p - d * d)) - sqrt(trials) * d

    if disagreement > 0 and lack(disagreement, disagreement) <= 0:
        return float(brentq(lambda d: lack(d, disagreement), 1e-12, disagreement))
    if lack(1.0, 1.0) > 0:
        return 1.0
    return float(brentq(lambda d: lack(d, d), 1e-12, 1.0))


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
