"""How many units stay, and which."""

import pytest
import torch

from compress.prune.selection import kept_count
from compress.prune.units.selection import best_of_all, best_of_each, spread

SPARSITIES = [0.05, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9]


def random_scores(*counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(count, generator=generator) for count in counts]


def test_counts_are_the_nearest_and_exact_in_decimals():
    assert [kept_count(12, s) for s in (0.1, 0.3, 0.5, 0.95, 0.96)] == [11, 8, 6, 1, 0]
    assert kept_count(5, 0.5) == 3 and kept_count(1536, 0.5) == 768
    assert [kept_count(10, n / 10) for n in range(1, 10)] == list(range(9, 0, -1))
    assert kept_count(5, 0.1) == kept_count(15, 0.9) + 3 == 5


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_the_best_of_each_block_stay(sparsity):
    scores = random_scores(12, 12, 40)
    for score, kept in zip(scores, best_of_each(scores, sparsity)):
        assert len(kept) == kept_count(len(score), sparsity) and list(kept) == sorted(set(kept))
        left = set(range(len(score))) - set(kept)
        assert not kept or not left or min(score[list(kept)]) >= max(score[list(left)])


@pytest.mark.parametrize("sparsity", SPARSITIES[:-1])
def test_the_best_of_all_stay_and_no_block_is_empty(sparsity):
    scores = [score * factor for score, factor in zip(random_scores(12, 12, 12, 12), (1, 0.001, 5, 0.0))]
    kept = best_of_all(scores, sparsity)
    assert sum(map(len, kept)) == kept_count(48, sparsity) == sum(map(len, spread([12] * 4, sparsity)))
    assert all(units and list(units) == sorted(set(units)) for units in kept)
    assert all(int(score.argmax()) in units for score, units in zip(scores, kept))
    assert len(kept[2]) >= len(kept[0]) >= len(kept[1])


def test_equal_scores_keep_the_first_units():
    assert best_of_each([torch.ones(6)], 0.5) == ((0, 1, 2),)
    assert best_of_all([torch.ones(4), torch.ones(4)], 0.5) == ((0, 1, 2), (0,))


def test_choosing_again_among_what_stayed_chooses_the_same():
    scores = random_scores(16, 16)
    kept = best_of_all(scores, 0.5)
    survivors = [score[list(units)] for score, units in zip(scores, kept)]
    assert best_of_all(survivors, 0.001) == tuple(tuple(range(len(units))) for units in kept)
