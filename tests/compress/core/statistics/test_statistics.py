"""Intervals against published values, against their definitions, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from compress.core.statistics import resampling, shares


def test_wilson_interval_is_scipys():
    for successes, trials in [(0, 10), (3, 10), (81, 263), (2410, 2693), (50, 50)]:
        known = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        assert shares.share_interval(successes, trials) == pytest.approx((known.low, known.high), abs=1e-12)


def test_wilson_interval_of_newcombes_example():
    assert shares.share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    "gained, lost, trials", [(12, 2, 50), (0, 5, 30), (7, 7, 100), (40, 61, 2693), (1, 0, 12), (30, 0, 30), (0, 30, 30)]
)
def test_tangos_interval_is_where_the_score_test_rejects(gained, lost, trials):
    low, high = shares.paired_share_interval(gained, lost, trials)
    seen = (gained - lost) / trials
    assert -1 <= low <= seen <= high <= 1
    for bound, sign in ((low, 1), (high, -1)):
        if abs(bound) < 1:
            assert _score_by_search(bound, gained, lost, trials) == pytest.approx(sign * 1.96, abs=1e-3)


def _score_by_search(difference, gained, lost, trials):
    """The score statistic with the nuisance share found by maximising the trinomial likelihood on a grid."""
    highest = (1 - abs(difference)) / 2 + max(0.0, -difference)
    shares = np.linspace(max(0.0, -difference), highest, 400_001)[1:-1]
    same = 1 - 2 * shares - difference
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = _xlog(gained, shares + difference) + _xlog(lost, shares) + _xlog(trials - gained - lost, same)
    share = shares[np.nanargmax(likelihood)]
    return (gained - lost - trials * difference) / np.sqrt(trials * (2 * share + difference * (1 - difference)))


def _xlog(count, share):
    return count * np.log(share) if count else np.zeros_like(share)


def test_tangos_interval_without_changed_answers():
    z_squared = 1.959964**2
    bound = z_squared / (100 + z_squared)
    assert shares.paired_share_interval(0, 0, 100) == pytest.approx((-bound, bound), abs=1e-6)


def test_tangos_interval_covers_the_truth():
    generator = np.random.default_rng(0)
    gained_share, lost_share, trials = 0.03, 0.06, 400
    counts = generator.multinomial(trials, [gained_share, lost_share, 1 - gained_share - lost_share], size=1500)
    bounds = np.array([shares.paired_share_interval(gained, lost, trials) for gained, lost, _ in counts])
    covered = ((bounds[:, 0] <= -0.03) & (bounds[:, 1] >= -0.03)).mean()
    assert 0.935 <= covered <= 0.97


def test_mcnemar_is_the_binomial_test_of_the_changed_answers():
    assert shares.mcnemar_p_value(10, 2) == pytest.approx(2 * sum(stats.binom.pmf(k, 12, 0.5) for k in range(3)))
    assert shares.mcnemar_p_value(0, 0) == 1.0
    assert shares.mcnemar_p_value(4, 4) == 1.0
    assert shares.mcnemar_p_value(0, 6) == pytest.approx(2 / 64)


def test_the_smallest_detectable_share_is_detected_four_times_in_five():
    trials, disagreement = 2693, 0.05
    difference = shares.smallest_detectable_share(disagreement, trials)
    generator = np.random.default_rng(1)
    changed = generator.binomial(trials, disagreement, size=4000)
    gained = generator.binomial(changed, (1 + difference / disagreement) / 2)
    z = (2 * gained - changed) / np.sqrt(changed)
    assert (np.abs(z) > 1.959964).mean() == pytest.approx(0.8, abs=0.025)


def test_the_smallest_detectable_share_falls_with_more_examples_and_rises_with_disagreement():
    few, many = (shares.smallest_detectable_share(0.05, n) for n in (300, 3000))
    assert many < few
    assert shares.smallest_detectable_share(0.02, 3000) < shares.smallest_detectable_share(0.1, 3000)


def test_the_smallest_detectable_share_without_disagreement_is_that_of_one_sided_changes():
    found = shares.smallest_detectable_share(0.0, 1000)
    assert 0.007 < found < 0.0085  # about eight answers, all changed one way
    assert shares.smallest_detectable_share(0.001, 1000) == found
    assert shares.smallest_detectable_share(0.0, 3) == 1.0


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    draws = resampling.bootstrap(lambda index: values[index].mean(), 400, resamples=2000, seed=0)
    assert draws.std() == pytest.approx(values.std() / 20, rel=0.06)
    low, high = resampling.percentile_interval(draws)
    assert low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)


def test_bootstrap_is_the_same_for_the_same_seed():
    first, again = (resampling.bootstrap(lambda index: index.sum(), 50, resamples=20, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_bootstrap_p_value_agrees_with_the_interval():
    draws = np.random.default_rng(0).normal(0.02, 0.01, 4000)
    assert resampling.bootstrap_p_value(draws) == pytest.approx(2 * stats.norm.sf(2.0), abs=0.01)
    assert resampling.bootstrap_p_value(np.zeros(100)) == 1.0
    assert resampling.bootstrap_p_value(np.full(999, 0.5)) == pytest.approx(0.002)


def test_the_paired_bootstrap_draws_the_examples_alike_for_both_models():
    generator = np.random.default_rng(4)
    one, other = generator.normal(size=120), generator.normal(size=120)
    found = resampling.paired_bootstrap(lambda index: one[index].mean() - other[index].mean(), 120, resamples=300)
    indices = np.random.default_rng(0)
    draws = [(one - other)[indices.integers(0, 120, 120)].mean() for _ in range(300)]
    assert found.value == pytest.approx((one - other).mean())
    assert found.interval == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))
    assert found.error == pytest.approx(np.std(draws, ddof=1))
    assert found.p_value == resampling.bootstrap_p_value(np.array(draws))


def test_median_ratio_survives_a_burst_of_noise():
    generator = np.random.default_rng(0)
    below = generator.normal(0.010, 0.0002, 12)
    above = below * 8 * generator.normal(1, 0.01, 12)
    above[3] *= 10
    ratio, (low, high) = resampling.median_ratio(above, below)
    assert ratio == pytest.approx(8, rel=0.02)
    assert low <= ratio <= high
    assert high - low < 0.4


def test_median_ratios_interval_covers_the_truth():
    generator = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        below = generator.lognormal(0, 0.1, 20)
        above = below * 5 * generator.lognormal(0, 0.1, 20)
        _, (low, high) = resampling.median_ratio(above, below, seed=seed, resamples=400)
        hits += low <= 5 <= high
    assert hits / 200 >= 0.9


def test_holms_p_values_are_the_published_ones():
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert shares.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert shares.holm([0.9, 0.8]) == [1.0, 1.0] and shares.holm([]) == []
