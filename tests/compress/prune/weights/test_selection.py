"""Masks from scores: exact counts, floors, and the same rule as PyTorch's where it has one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as theirs

from compress.core.errors import InputError, StageFailed
from compress.prune.selection import kept_count, kept_mask
from compress.prune.weights.selection import keep_highest

SHAPES = {"a": (7, 5), "b": (3, 4), "c": (11,)}
SIZE = sum(torch.Size(shape).numel() for shape in SHAPES.values())


def scores(seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).abs() for name, shape in shapes.items()}


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.5, 0.77, 0.9])
def test_counts_are_exact(sparsity):
    found = keep_highest(scores(), sparsity, allocation="global")
    assert kept(found) == kept_count(SIZE, sparsity)
    for name, mask in keep_highest(scores(), sparsity).items():
        assert mask.dtype == torch.bool and mask.shape == SHAPES[name]
        assert int(mask.sum()) == kept_count(mask.numel(), sparsity)
    typed = keep_highest(scores(), sparsity, allocation="per_type", types={"a": "up", "b": "up", "c": "down"})
    assert kept({"a": typed["a"], "b": typed["b"]}) == kept_count(47, sparsity)
    assert int(typed["c"].sum()) == kept_count(11, sparsity)


def test_equal_scores_keep_the_first():
    assert kept_mask(torch.tensor([1.0, 2.0, 1.0, 1.0]), 2).tolist() == [True, True, False, False]
    assert not kept_mask(torch.ones(3), 0).any() and kept_mask(torch.ones(3), 3).all()
    assert keep_highest({"a": torch.zeros(4)}, 0.5)["a"].tolist() == [True, True, False, False]


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.9])
def test_equal_to_pytorchs_rules(sparsity):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(13, 17), nn.Linear(17, 29))
    sizes = {"0": model[0].weight.detach().abs().clone(), "1": model[1].weight.detach().abs().clone()}
    local, whole = keep_highest(sizes, sparsity), keep_highest(sizes, sparsity, allocation="global")
    theirs.global_unstructured([(m, "weight") for m in model], theirs.L1Unstructured, amount=sparsity)
    assert all(torch.equal(whole[str(i)], model[i].weight_mask.bool()) for i in range(2))
    for name, module in zip(("0", "1"), model):
        theirs.remove(module, "weight")
        module.weight.data = sizes[name].clone()
        theirs.l1_unstructured(module, "weight", amount=sparsity)
        assert torch.equal(local[name], module.weight_mask.bool())


def test_what_was_cut_stays_cut():
    before = keep_highest(scores(0), 0.3, allocation="global")
    after = keep_highest(scores(1), 0.6, allocation="global", within=before)
    assert kept(after) == kept_count(SIZE, 0.6)
    assert all(not (after[name] & ~before[name]).any() for name in SHAPES)
    again = keep_highest(scores(1), 0.6, allocation="global", within=after)
    assert all(torch.equal(again[name], after[name]) for name in SHAPES)
    with pytest.raises(InputError, match="cut already"):
        keep_highest(scores(1), 0.2, allocation="global", within=before)


def test_no_matrix_is_left_empty():
    uneven = {"a": torch.full((10, 10), 9.0), "b": torch.zeros(10, 10)}
    found = keep_highest(uneven, 0.9, allocation="global")
    assert kept(found) == 20 and int(found["b"].sum()) == 1
    found = keep_highest(uneven, 0.9, allocation="global", floor=0.05)
    assert kept(found) == 20 and int(found["b"].sum()) == 5
    with pytest.raises(InputError, match="20 of 200 weights, and 40 must stay"):
        keep_highest(uneven, 0.9, allocation="global", floor=0.2)
    with pytest.raises(InputError, match="0 of 4 weights, and 1 must stay"):
        keep_highest({"a": torch.ones(4)}, 0.99)


def test_scores_are_numbers():
    with pytest.raises(StageFailed, match="not finite"):
        keep_highest({"a": torch.tensor([1.0, float("nan")])}, 0.5)
