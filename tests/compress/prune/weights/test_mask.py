"""The change: real tensors, counts alone on the meta device, twice as once."""

import pytest
import torch

from compress.core.errors import StageFailed
from compress.core.model.change import change_from_data
from compress.core.model.masks import apply_masks, evenly, pack, unpack
from compress.prune.weights.mask import Mask
from compress.prune.weights.selection import keep_highest
from tests.tiny import tiny_bundle

NAMES = ("bert.encoder.layer.0.output.dense.weight", "bert.encoder.layer.1.attention.self.query.weight")


def masked(sparsity=0.5):
    bundle = tiny_bundle("bert")
    scores = {name: bundle.model.get_parameter(name).detach().abs() for name in NAMES}
    return bundle, Mask.of(keep_highest(scores, sparsity))


def test_the_change_zeroes_and_remembers():
    bundle, change = masked()
    before = {name: bundle.model.get_parameter(name).detach().clone() for name in NAMES}
    changed = bundle.changed_by(change)
    assert changed.states == {"masked"} and changed.changes == (change,)
    for name in NAMES:
        weight, mask = changed.model.get_parameter(name), changed.masks[name]
        assert torch.equal(weight, torch.where(mask, before[name], 0)) and int(mask.sum()) * 2 == mask.numel()
        assert weight.requires_grad
    summary = change.summary(bundle.sketch())["weights"]
    assert summary["kept"] * 2 == summary["of"] and set(summary["sparsity"].values()) == {0.5}


def test_masks_twice_are_masks_once():
    bundle, change = masked(0.3)
    changed = bundle.changed_by(change)
    once = {name: value.clone() for name, value in changed.model.state_dict().items()}
    apply_masks(changed.model, changed.masks)
    again = change.apply(changed)
    assert all(torch.equal(value, once[name]) for name, value in again.model.state_dict().items())


def test_weights_that_a_criterion_moves_travel_with_it():
    bundle, change = masked()
    moved = {name: torch.full_like(mask, 7.0, dtype=torch.float32) for name, mask in change.masks().items()}
    changed = Mask.of(change.masks(), moved).apply(bundle)
    weight = changed.model.get_parameter(NAMES[0])
    assert torch.equal(weight, changed.masks[NAMES[0]].float() * 7)


def test_plain_data_has_the_counts_and_no_bits():
    bundle, change = masked()
    read = change_from_data(change.data())
    assert (
        isinstance(read, Mask) and read.parts == change.parts and read != change and change == Mask.of(change.masks())
    )
    assert not read.tensors()
    with pytest.raises(StageFailed, match="no longer which"):
        read.apply(bundle)
    meta = tiny_bundle("bert")
    meta.model.to("meta")
    guessed = read.apply(meta)
    assert {name: int(mask.sum()) for name, mask in guessed.masks.items()} == {p.parameter: p.kept for p in read.parts}
    assert guessed.states == {"masked"}


def test_a_mask_of_another_shape_is_an_error():
    bundle, _ = masked()
    with pytest.raises(StageFailed, match=r"has the shape \(2, 2\), its weight \(32, 48\)"):
        apply_masks(bundle.model, {NAMES[0]: torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(StageFailed, match="its weight None"):
        apply_masks(bundle.model, {"bert.nothing.weight": torch.ones(2, 2, dtype=torch.bool)})


@pytest.mark.parametrize("shape", [(3, 5), (8,), (1, 1), (7, 2, 3)])
def test_bits_pack_and_unpack(shape):
    mask = torch.rand(shape, generator=torch.manual_seed(0)) > 0.5
    assert torch.equal(unpack(pack(mask), shape), mask) and len(pack(mask)) == -(-mask.numel() // 8)


@pytest.mark.parametrize("kept", [0, 1, 7, 29, 30])
def test_evenly_keeps_exactly(kept):
    mask = evenly((5, 6), kept)
    assert mask.shape == (5, 6) and int(mask.sum()) == kept
