"""The algorithm with a trainer passed in: counts, rewinding, which weights stay."""

from itertools import pairwise

import pytest
import torch

from compress.core.errors import InputError
from compress.core.model.matrices import first_stack
from compress.lottery.search import (
    all_ones,
    find_ticket,
    keep_largest,
    kept_after,
    kept_share,
    largest_weights,
    state_of,
)
from tests.tiny import FAMILIES, tiny_bundle

# Of four blocks; ALBERT has one, and what is fused counts once.
MATRICES = {"albert": 6, "gpt2": 16, "modernbert": 16, "deberta": 16}


class Moves:
    """A trainer that moves every weight by noise and remembers what it was given."""

    def __init__(self):
        self.begun, self.kept, self.draw = [], [], torch.Generator().manual_seed(0)

    def __call__(self, model, masks):
        self.begun.append(state_of(model))
        self.kept.append(sum(int(mask.sum()) for mask in masks.values()))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=self.draw))
                if name in masks:
                    parameter.masked_fill_(~masks[name], 0)


def searched(rate: float = 0.2, rounds: int = 4, **settings):
    bundle, train = tiny_bundle("bert", num_hidden_layers=2), Moves()
    start, ones = state_of(bundle.model), all_ones(bundle)
    found = list(find_ticket(bundle.model, train, rounds=rounds, choose=largest_weights(rate), masks=ones, **settings))
    return bundle, train, start, found


@pytest.mark.parametrize("rate", [0.2, 0.5, 1 / 3])
def test_each_round_keeps_its_power_of_the_rest_exactly(rate):
    _, train, _, found = searched(rate)
    total = sum(mask.numel() for mask in found[0].values())
    expected = [round(total * (1 - rate) ** number) for number in range(1, 5)]
    assert [sum(int(mask.sum()) for mask in masks.values()) for masks in found] == expected
    assert train.kept == [total, *expected[:-1]]


def test_what_was_removed_stays_removed():
    *_, found = searched()
    for before, after in pairwise(found):
        assert not any((after[name] & ~mask).any() for name, mask in before.items())


def test_every_round_begins_at_the_starting_weights_to_the_bit_with_the_head():
    bundle, train, start, _ = searched()
    for begun in (*train.begun, state_of(bundle.model)):
        assert all(torch.equal(tensor, start[name]) for name, tensor in begun.items())
    assert any("classifier" in name for name in start)


def test_where_nothing_goes_back_a_round_begins_where_the_last_ended():
    bundle, train, start, _ = searched(rewind=lambda model, start: None)
    name = next(iter(first_stack(bundle)))
    assert torch.equal(train.begun[0][name], start[name])
    assert not any(torch.equal(begun[name], start[name]) for begun in train.begun[1:])


def test_all_matrices_compete_and_the_largest_of_what_is_left_stay():
    weights = {"a": torch.tensor([[0.1, -5.0], [0.2, 3.0]]), "b": torch.tensor([0.3, -0.4])}
    masks = {"a": torch.tensor([[True, False], [True, True]]), "b": torch.tensor([True, True])}
    kept = keep_largest(weights, masks, 2)
    assert kept["a"].tolist() == [[False, False], [False, True]] and kept["b"].tolist() == [False, True]


def test_of_equal_weights_the_first_stay():
    kept = keep_largest({"a": torch.ones(5)}, {"a": torch.ones(5, dtype=torch.bool)}, 3)
    assert kept["a"].tolist() == [True, True, True, False, False]


def test_more_cannot_stay_than_are_left():
    with pytest.raises(InputError, match="cannot stay"):
        keep_largest({"a": torch.ones(2)}, {"a": torch.tensor([True, False])}, 2)


def test_magnitude_is_what_torch_prunes_by():
    from torch.nn.utils import prune

    layers = [torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)]
    ones = {str(i): torch.ones_like(layer.weight, dtype=torch.bool) for i, layer in enumerate(layers)}
    ours = keep_largest({str(i): layer.weight for i, layer in enumerate(layers)}, ones, 35)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=50 - 35)
    assert all(torch.equal(ours[str(i)], layer.weight_mask.bool()) for i, layer in enumerate(layers))


def test_counts_are_reckoned_exactly():
    assert [kept_after(1000, 0.1, number) for number in (1, 2, 3)] == [900, 810, 729]
    assert kept_after(10, 0.25, 2) == 6 and kept_share(10, 0.25) == 3


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_matrices_of_every_block_are_pruned_and_nothing_else(model_type):
    bundle = tiny_bundle(model_type)
    names = tuple(first_stack(bundle))
    parameters = dict(bundle.model.named_parameters())
    assert len(names) == MATRICES.get(model_type, 24)
    assert all(parameters[name].dim() == 2 for name in names)
    assert not any(part in name for name in names for part in ("embed", "norm", "Norm", "pooler", "classifier"))
