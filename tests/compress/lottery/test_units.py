"""Heads and networks as masks, what they are worth, and which are good, random and bad."""

import pytest
import torch

from compress.core.families.family import families
from compress.core.model.masks import apply_masks
from compress.lottery.seed_subnetworks import bad_units, random_units
from compress.lottery.units import Importance, Units, all_units, best, importance, unit_masks, units_left
from compress.prune.units.heads import Heads
from compress.prune.units.neurons import Neurons
from tests.compress.lottery.bench import context, tiny_task
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs

CUT = [name for name in FAMILIES if not set(families()[name].refusals) & {"heads", "neurons"}]
WHOLE = Units(tuple((block, head) for block in range(3) for head in range(2)), (0, 1, 2))


@pytest.mark.parametrize("model_type", CUT)
def test_masked_units_give_nothing_in_every_family(model_type):
    bundle = tiny_bundle(model_type)
    whole = all_units(bundle)
    left = Units(tuple(head for head in whole.heads if head[1] != 1), whole.networks[1:])
    inputs, sketch = tiny_inputs(bundle), bundle.sketch()
    counts, blocks = sketch.neurons, len(sketch.block_heads)
    heads = [[0, 2, 3] if number < blocks else list(range(count)) for number, count in enumerate(sketch.heads)]
    neurons = [[] if block == 0 else list(range(count)) for block, count in enumerate(counts)]
    with torch.no_grad(), Heads().masked(bundle, heads), Neurons().masked(bundle, neurons):
        expected = bundle.model(**inputs).logits
    masks = unit_masks(bundle, left)
    apply_masks(bundle.model, masks)
    with torch.no_grad():
        found = bundle.model(**inputs).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert units_left(bundle, masks) == left


def test_what_a_model_wears_does_not_change_the_masks_of_units():
    bundle = tiny_bundle("bert", num_hidden_layers=2)
    few = Units(((0, 1),), (1,))
    plain = unit_masks(bundle, few)
    bundle.masks = unit_masks(bundle, Units(((1, 0),), (0,)))
    assert all(torch.equal(mask, plain[name]) for name, mask in unit_masks(bundle, few).items())
    assert units_left(bundle, plain) == few


def test_importance_is_the_mean_slope_of_the_loss_by_a_gate(tmp_path):
    bundle, task = tiny_bundle("bert", num_hidden_layers=2), tiny_task(tmp_path / "data")
    ctx = context(task, tmp_path)
    found = importance(bundle, ctx, batches=1, batch_size=4)
    (batch,) = ctx.batches(bundle, part="train", count=1, batch_size=4)
    down, rows = list(bundle.family.block_parts(bundle.model, "down"))[1], range(len(batch["labels"]))

    def loss(row: int, gate: float) -> float:
        handle = down.register_forward_pre_hook(lambda _, inputs: (inputs[0] * gate,))
        with torch.no_grad():
            value = task.objective(bundle.model, {name: tensor[row : row + 1] for name, tensor in batch.items()})
        handle.remove()
        return float(value)

    slopes = [abs(loss(row, 1.01) - loss(row, 0.99)) / 0.02 for row in rows]
    assert found.networks[1] == pytest.approx(sum(slopes) / len(slopes), rel=0.02)
    for block in (0, 1):
        assert sum(found.heads[block, head] ** 2 for head in range(4)) == pytest.approx(1.0, abs=1e-5)


def test_the_best_are_those_worth_most():
    worth = Importance({head: float(place) for place, head in enumerate(WHOLE.heads)}, {0: 3.0, 1: 1.0, 2: 2.0})
    assert best(WHOLE, worth, heads=2, networks=2) == Units(((2, 0), (2, 1)), (0, 2))


def test_a_random_one_has_the_size_of_the_good_one():
    good = Units(((0, 0), (1, 1), (2, 0)), (1,))
    found = random_units(WHOLE, good, torch.Generator().manual_seed(0))
    assert (len(found.heads), len(found.networks)) == (3, 1)
    assert set(found.heads) <= set(WHOLE.heads)
    assert found == random_units(WHOLE, good, torch.Generator().manual_seed(0))


def test_the_bad_one_has_what_went_first_and_then_what_is_worth_least():
    worth = Importance({head: float(place) for place, head in enumerate(WHOLE.heads)}, {0: 3.0, 1: 1.0, 2: 2.0})
    good = Units(((0, 1), (1, 0), (1, 1), (2, 1)), (0, 2))
    gone = [Units(((2, 0),), (1,)), Units(((0, 0),), ())]
    assert bad_units(good, gone, worth) == Units(((0, 0), (0, 1), (1, 0), (2, 0)), (1, 2))
