"""Intervals of a difference over examples and seeds: against Welch's, and their coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from compress.core.statistics.over_seeds import difference_over_seeds


def test_without_an_error_over_examples_it_is_welchs_test():
    above, below = [0.91, 0.93, 0.90], [0.88, 0.89, 0.86, 0.87]
    found = difference_over_seeds(above, below, sampling_error=0.0, examples=10**9)
    known = stats.ttest_ind(above, below, equal_var=False)
    assert found.value == pytest.approx(np.mean(above) - np.mean(below))
    assert found.p_value == pytest.approx(known.pvalue)
    interval = known.confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high))


def test_seeds_that_agree_leave_the_error_over_the_examples():
    found = difference_over_seeds([0.9, 0.9], [0.88, 0.88], sampling_error=0.005, examples=1000)
    reach = stats.t.ppf(0.975, 999) * 0.005
    assert found.interval == pytest.approx((0.02 - reach, 0.02 + reach))
    assert found.error == pytest.approx(0.005)


def test_a_method_that_draws_nothing_has_one_score():
    found = difference_over_seeds([0.9], [0.88, 0.86, 0.87], sampling_error=0.0, examples=1000)
    assert found.error == pytest.approx(0.01 / np.sqrt(3))


def test_no_spread_at_all_is_a_certain_difference():
    assert difference_over_seeds([0.9, 0.9], [0.9, 0.9], sampling_error=0.0, examples=10).p_value == 1.0
    assert difference_over_seeds([0.9, 0.9], [0.8, 0.8], sampling_error=0.0, examples=10).p_value == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("deviation", [0.0, 0.0025, 0.005, 0.01])
def test_it_covers_the_difference_of_the_methods(seeds, deviation):
    """Two methods of one true accuracy, each training off by `deviation`, judged on the same 2,693 examples."""
    generator, covered, widths, runs = np.random.default_rng(seeds), 0, [], 1500
    for _ in range(runs):
        difficulty = generator.beta(9, 1, 2693)
        offsets = generator.normal(0, deviation, (2, seeds, 1))
        right = generator.random((2, seeds, 2693)) < np.clip(difficulty + offsets, 0, 1)
        scores, by_example = right.mean(2), right[0].mean(0) - right[1].mean(0)
        error = by_example.std(ddof=1) / np.sqrt(2693)
        found = difference_over_seeds(*scores.tolist(), sampling_error=float(error), examples=2693)
        covered += found.interval[0] <= 0 <= found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
    print(f"{seeds} seeds, deviation {deviation:.2%}: covered {covered / runs:.1%}, width {np.mean(widths):.2%}")
    assert covered / runs >= 0.93
