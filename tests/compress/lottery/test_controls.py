"""What each control takes away from the ticket, and what it leaves."""

import torch

from compress.core.model.matrices import first_stack
from compress.lottery.controls.random_mask import RandomMask
from compress.lottery.controls.reinitialised import Reinitialised
from compress.lottery.controls.shuffled_weights import ShuffledWeights
from compress.lottery.search import all_ones, keep_largest, state_of
from tests.tiny import tiny_bundle


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def given(model_type: str = "bert"):
    bundle = tiny_bundle(model_type, num_hidden_layers=2)
    names = tuple(first_stack(bundle))
    weights = {name: bundle.model.get_parameter(name) for name in names}
    masks = keep_largest(weights, all_ones(bundle), 3001)
    return bundle, names, masks, state_of(bundle.model)


def test_a_random_mask_is_of_the_same_size_and_begins_with_the_same_weights():
    bundle, names, masks, state = given()
    found = RandomMask().masks(masks, drawn())
    assert sum(int(mask.sum()) for mask in found.values()) == 3001
    assert any(not torch.equal(mask, masks[name]) for name, mask in found.items())
    assert all(
        torch.equal(mask, again) for mask, again in zip(found.values(), RandomMask().masks(masks, drawn()).values())
    )
    assert RandomMask().start(bundle, state, names, drawn()) is state


def test_shuffled_weights_are_those_of_the_same_matrix_in_other_places():
    bundle, names, masks, state = given()
    found = ShuffledWeights().start(bundle, state, names, drawn())
    assert ShuffledWeights().masks(masks, drawn()) is masks
    for name, tensor in found.items():
        same = torch.equal(tensor, state[name])
        assert same is (name not in names)
        assert torch.equal(tensor.flatten().sort().values, state[name].flatten().sort().values)


def test_reinitialised_draws_the_encoder_anew_and_leaves_the_head_and_the_model():
    bundle, names, _, state = given()
    found = Reinitialised().start(bundle, state, names, drawn())
    again = Reinitialised().start(bundle, state, names, drawn())
    assert found.keys() == state.keys() and all(torch.equal(again[name], tensor) for name, tensor in found.items())
    assert not any(torch.equal(found[name], state[name]) for name in names)
    assert not torch.equal(
        found["bert.embeddings.word_embeddings.weight"], state["bert.embeddings.word_embeddings.weight"]
    )
    assert all(torch.equal(found[name], state[name]) for name in state if name.startswith("classifier"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in bundle.model.state_dict().items())
    assert abs(found[names[0]].std().item() - bundle.config.initializer_range) < 0.02


def test_weights_that_came_from_a_checkpoint_are_drawn_anew_too():
    bundle, names, _, state = given()
    for parameter in bundle.model.parameters():
        parameter._is_hf_initialized = True
    found = Reinitialised().start(bundle, state, names, drawn())
    assert not any(torch.equal(found[name], state[name]) for name in names)
