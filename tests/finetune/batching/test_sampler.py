"""The order of rows, and the draws of parts."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.batching.sampler import LengthGrouped, grouped_order
from finetune.processes import Processes
from finetune.tasks.splits import draw, fingerprint, select_size, shares

LENGTHS = np.random.default_rng(0).integers(3, 60, size=1003)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 1003])
def test_an_order_is_a_permutation(rows: int) -> None:
    order = grouped_order(LENGTHS[:rows], batch_size=8, seed=0)
    assert sorted(order.tolist()) == list(range(rows))


def test_batches_hold_rows_of_like_length_in_random_order() -> None:
    order = grouped_order(LENGTHS, batch_size=8, seed=0)
    lengths = LENGTHS[order[:1000]].reshape(-1, 8)
    padded = lengths.max(1).sum() * 8
    assert padded < 1.1 * LENGTHS.sum()
    assert abs(np.corrcoef(np.arange(125), lengths.max(1))[0, 1]) < 0.3


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    sampler = LengthGrouped(LENGTHS, batch_size=8, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first != second
    assert list(LengthGrouped(LENGTHS, batch_size=8, seed=2)) != first
    assert len(sampler) == len(first) == 126


@pytest.mark.parametrize(("rows", "batch_size", "count"), [(64, 8, 2), (1003, 8, 3), (13, 5, 4), (3, 1, 2), (1, 8, 3)])
def test_processes_divide_each_batch_so_that_an_epoch_sees_every_row_once(
    rows: int, batch_size: int, count: int
) -> None:
    order = grouped_order(LENGTHS[:rows], batch_size=batch_size, seed=0)
    parts = [
        list(LengthGrouped(LENGTHS[:rows], batch_size=batch_size, seed=0, processes=Processes(rank, count)))
        for rank in range(count)
    ]
    assert {len(part) for part in parts} == {-(-rows // batch_size)}
    for step, batches in enumerate(zip(*parts, strict=True)):
        whole = order[step * batch_size : (step + 1) * batch_size]
        assert all(batches)  # each process takes part in each step
        seen = [chosen.row for batch in batches for chosen in batch if chosen.weight]
        assert sorted(seen) == sorted(whole)
        # The mean over the processes of weighted means is the mean over the batch.
        means = [batch[0].weight * np.mean([LENGTHS[chosen.row] for chosen in batch]) for batch in batches]
        assert np.mean(means) == pytest.approx(LENGTHS[whole].mean())


@pytest.mark.parametrize("count", [1, 2, 37, 100, 1000])
def test_a_stratified_draw_keeps_shares_to_within_one(count: int) -> None:
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    drawn = draw(labels, count, seed=0, stratified=True)
    assert len(set(drawn.tolist())) == count
    found = np.bincount(labels[drawn], minlength=3)
    assert np.all(np.abs(found - count * np.array([0.7, 0.25, 0.05])) < 1)


def test_shares_sum_to_the_count() -> None:
    assert shares(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert shares(np.array([5, 5]), 99).tolist() == [5, 5]


@pytest.mark.parametrize(("rows", "expected"), [(2, 1), (100, 5), (67349, 2000)])
def test_size_of_select(rows: int, expected: int) -> None:
    assert select_size(rows) == expected


def test_fingerprint_tells_where_a_value_ends() -> None:
    prints = {fingerprint(columns) for columns in ([["ab", "c"]], [["a", "bc"]], [["ab"], ["c"]], [["abc"]], [])}
    assert len(prints) == 5
