"""Intervals and tests of shares, such as an accuracy, from counts. Intervals are at 95 %, tests two-sided."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

__all__ = [
    "NORMAL_80",
    "NORMAL_975",
    "Interval",
    "holm",
    "mcnemar_p_value",
    "paired_share_interval",
    "share_interval",
    "smallest_detectable_share",
]

Interval = tuple[float, float]
NORMAL_975 = 1.959963984540054
NORMAL_80 = 0.8416212335729143


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


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: of all those below 0.05, the chance that any is a false alarm is at most 5 %.

    The k-th smallest of m is max_{j <= k} min(1, (m - j + 1) p_(j)).

    Args:
        p_values: of all tests of one table.

    References: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted


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
