"""Every family: what is cut equals what is masked, on real weights and on the meta device."""

from __future__ import annotations

import copy

import pytest
import torch

from compress.core.errors import InputError, Refusal
from compress.core.families.family import base_model, families, family_of
from compress.core.model.bundle import Bundle
from compress.core.surgery.heads_and_neurons import head_counts, keep_heads, keep_neurons, neuron_counts
from compress.core.surgery.layers import keep_layers
from compress.core.surgery.width import keep_width
from tests.contracts.cuts import SOME_WIDTH, gate, some_heads, some_layers, some_neurons
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs, tiny_logits


def supporting(part: str) -> list[str]:
    return [name for name in FAMILIES if part not in family_of(name).refusals]


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_every_family_has_a_tiny_twin():
    assert set(families()) == set(FAMILIES)


@pytest.mark.parametrize("name", supporting("heads"))
def test_cut_heads_equal_masked_heads(name):
    bundle = tiny_bundle(name)
    before, kept = tiny_logits(bundle), some_heads(bundle)
    masked = bundle.copy()
    gate(masked, "output", kept)
    keep_heads(bundle.model, bundle.family, kept)
    assert head_counts(bundle.model, bundle.family) == tuple(map(len, kept))
    assert bundle.sketch().heads == tuple(map(len, kept))
    torch.testing.assert_close(tiny_logits(bundle), tiny_logits(masked), atol=1e-5, rtol=0)
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3


def test_a_decoders_attention_to_an_encoder_is_cut_too():
    bundle = tiny_bundle("gpt2", add_cross_attention=True)
    heard = torch.randn(5, 7, 32, generator=torch.Generator().manual_seed(0))

    def said(of: Bundle) -> torch.Tensor:
        with torch.no_grad():
            return of.model.base_model(**tiny_inputs(of), encoder_hidden_states=heard).last_hidden_state

    assert bundle.sketch().head_stacks == ("",) * 4 + ("cross-attention",) * 4
    kept = (*((0, 1, 2, 3) for _ in range(4)), *some_heads(bundle)[:4])
    before, masked = said(bundle), bundle.copy()
    gate(masked, "output", kept)
    keep_heads(bundle.model, bundle.family, kept)
    torch.testing.assert_close(said(bundle), said(masked), atol=1e-5, rtol=0)
    assert (said(bundle) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["t5", "bart"])
@pytest.mark.parametrize("stack", ["encoder", "decoder", "cross-attention"])
def test_each_stack_can_be_cut_alone(name, stack):
    bundle = tiny_bundle(name)
    stacks = bundle.sketch().head_stacks
    assert stacks == ("encoder",) * 4 + ("decoder",) * 2 + ("cross-attention",) * 2
    kept = tuple((0, 2) if each == stack else (0, 1, 2, 3) for each in stacks)
    before, masked = tiny_logits(bundle), bundle.copy()
    gate(masked, "output", kept)
    keep_heads(bundle.model, bundle.family, kept)
    torch.testing.assert_close(tiny_logits(bundle), tiny_logits(masked), atol=1e-5, rtol=0)
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", supporting("neurons"))
def test_cut_neurons_equal_masked_neurons(name):
    bundle = tiny_bundle(name)
    before, kept = tiny_logits(bundle), some_neurons(bundle)
    masked = bundle.copy()
    gate(masked, "down", kept)
    keep_neurons(bundle.model, bundle.family, kept)
    assert neuron_counts(bundle.model, bundle.family) == bundle.sketch().neurons == tuple(map(len, kept))
    torch.testing.assert_close(tiny_logits(bundle), tiny_logits(masked), atol=1e-5, rtol=0)
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", supporting("layers"))
def test_kept_layers_are_the_same_modules(name):
    bundle = tiny_bundle(name)
    before, kept = tiny_logits(bundle), some_layers(bundle.family)
    blocks = [copy.deepcopy(bundle.family.module_list(bundle.model)[index].state_dict()) for index in kept]
    keep_layers(bundle.model, bundle.family, kept)
    left = bundle.family.module_list(bundle.model)
    assert bundle.sketch().layers == len(left) == len(kept)
    assert bundle.model.config is base_model(bundle.model).config
    for block, state in zip(left, blocks):
        assert all(torch.equal(value, state[key]) for key, value in block.state_dict().items())
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_the_meta_device_gives_the_same_shapes(name):
    real = tiny_bundle(name)
    with torch.device("meta"):
        meta = Bundle(type(real.model)(copy.deepcopy(real.config)), real.processor)
    for bundle in (real, meta):
        family = bundle.family
        if "heads" not in family.refusals:
            keep_heads(bundle.model, family, some_heads(bundle))
        if "neurons" not in family.refusals:
            keep_neurons(bundle.model, family, some_neurons(bundle))
        if "layers" not in family.refusals:
            keep_layers(bundle.model, family, some_layers(bundle.family))
        keep_width(bundle.model, family, SOME_WIDTH)
    assert shapes(real.model) == shapes(meta.model)
    assert real.sketch() == meta.sketch()
    assert meta.device.type == "meta"


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_refused_says_why(name):
    family, model = family_of(name), tiny_bundle(name).model
    for part, cut in (("heads", keep_heads), ("neurons", keep_neurons), ("layers", keep_layers)):
        if part in family.refusals:
            with pytest.raises(Refusal, match=rf"{part} of a {name} model: \w+"):
                cut(model, family, ((0,),))
    if family.needs_first_layer:
        with pytest.raises(Refusal, match=f"first layer of a {name} model must stay"):
            keep_layers(model, family, (1, 2))
    if family.one_set_of_heads:
        with pytest.raises(Refusal, match=f"{name} model share"):
            keep_heads(model, family, ((0,), (1,), *((0,) for _ in head_counts(model, family)[2:])))


@pytest.mark.parametrize("kept", [(), (2, 1), (1, 1), (-1, 0), (0, 4)])
def test_impossible_choices_are_named(kept):
    bundle = tiny_bundle("bert")
    with pytest.raises(InputError, match="layers to keep"):
        keep_layers(bundle.model, bundle.family, kept)
    with pytest.raises(InputError, match="block 3: the heads to keep"):
        keep_heads(bundle.model, bundle.family, ((0,), (0,), (0,), kept))
    with pytest.raises(InputError, match="4 blocks need 4"):
        keep_neurons(bundle.model, bundle.family, ((0,),))
