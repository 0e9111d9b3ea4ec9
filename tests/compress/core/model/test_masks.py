"""What holds for every mask: packed bits give it back, counts are exact, cutting twice is cutting once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.core.model.masks import evenly, pack, unpack
from compress.prune.selection import kept_count, kept_mask
from compress.prune.weights.selection import keep_highest

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**31)
few = settings(max_examples=25, deadline=None)


def drawn(shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@few
@given(SHAPES, SEEDS)
def test_unpacked_is_what_was_packed(shape, seed):
    mask = drawn(shape, seed) > 0
    bits = pack(mask)
    assert bits.dtype == torch.uint8 and len(bits) == -(-mask.numel() // 8)
    assert torch.equal(unpack(bits, shape), mask)


@few
@given(SHAPES, st.floats(0, 1))
def test_an_even_mask_keeps_exactly_so_many(shape, share):
    size = torch.Size(shape).numel()
    kept = round(share * size)
    assert int(evenly(shape, kept).sum()) == kept


@few
@given(st.integers(1, 40), st.floats(0, 0.99), SEEDS)
def test_a_mask_keeps_the_count_and_the_highest(units, sparsity, seed):
    scores, count = drawn((units,), seed), kept_count(units, sparsity)
    mask = kept_mask(scores, count)
    assert int(mask.sum()) == count
    assert count in (0, units) or scores[mask].min() >= scores[~mask].max()


@few
@given(st.floats(0.1, 0.9), SEEDS)
def test_cutting_again_by_the_same_scores_cuts_nothing(sparsity, seed):
    scores = {"a": drawn((6, 8), seed), "b": drawn((10, 4), seed + 1)}
    once = keep_highest(scores, sparsity, allocation="global")
    again = keep_highest(scores, sparsity, allocation="global", within=once)
    assert all(torch.equal(again[name], once[name]) for name in scores)
    assert sum(int(mask.sum()) for mask in once.values()) == kept_count(88, sparsity)
