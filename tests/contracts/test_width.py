"""Every family: a narrower model is the whole one whose norms see, and whose tensors have, the kept entries alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.surgery.width import hidden_dimensions, keep_width
from tests.contracts.cuts import SOME_WIDTH
from tests.tiny import few, tiny_bundle, tiny_logits

KEPT = torch.tensor(SOME_WIDTH)


def zeroed(bundle: Bundle) -> Bundle:
    """A copy with zeros in place of all that belongs to the other entries."""
    found = bundle.copy()
    dims = hidden_dimensions(found.model, found.family)
    gone = torch.tensor([entry for entry in range(32) if entry not in SOME_WIDTH])
    for name, parameter in found.model.named_parameters():
        for dim in dims.get(name, ()):
            parameter.data.index_fill_(dim, gone, 0)
    return found


def over_the_kept(bundle: Bundle) -> Bundle:
    """A copy whose norms of the hidden dimension take mean and variance over the kept entries alone, by formula."""

    def hook(norm: nn.Module, arguments: tuple, made: torch.Tensor) -> torch.Tensor:
        x = arguments[0][..., KEPT]
        # A norm that takes no mean has no bias anywhere, and T5's is one.
        centred = x - x.mean(-1, keepdim=True) if not type(norm).__name__.startswith("T5") else x
        eps = getattr(norm, "eps", None) or getattr(norm, "variance_epsilon", 0.0)
        normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * norm.weight[KEPT]
        bias = getattr(norm, "bias", None)
        out = torch.zeros_like(made)
        out[..., KEPT] = normed if bias is None else normed + bias[KEPT]
        return out

    found = zeroed(bundle)
    for module in found.model.modules():
        if "Norm" in type(module).__name__ and module.weight.shape == (32,):
            module.register_forward_hook(hook)
    return found


@pytest.mark.parametrize("name", few())
def test_a_narrower_model_is_the_whole_one_over_fewer_entries(name, tmp_path):
    bundle = tiny_bundle(name)
    before, plain = tiny_logits(bundle), over_the_kept(bundle)
    sketch = bundle.sketch()
    keep_width(bundle.model, bundle.family, SOME_WIDTH)
    torch.testing.assert_close(tiny_logits(bundle), tiny_logits(plain), atol=2e-5, rtol=1e-4)
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3
    after = bundle.sketch()
    assert after.hidden == len(SOME_WIDTH) and after.parameters < sketch.parameters
    assert (after.heads, after.head_size, after.neurons) == (sketch.heads, sketch.head_size, sketch.neurons)
    again = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(again), tiny_logits(bundle)) and again.sketch() == after


def test_without_centring_masked_and_cut_differ_by_a_factor_in_each_norm():
    bundle = tiny_bundle("t5", layer_norm_epsilon=1e-12)
    masked = zeroed(bundle)
    for module in masked.model.modules():
        if "Norm" in type(module).__name__:
            module.weight.data.mul_(math.sqrt(len(SOME_WIDTH) / 32))
    keep_width(bundle.model, bundle.family, SOME_WIDTH)
    torch.testing.assert_close(tiny_logits(bundle), tiny_logits(masked), atol=1e-4, rtol=1e-4)


def test_what_has_the_hidden_dimension_in_bert():
    found = hidden_dimensions(tiny_bundle("bert").model, tiny_bundle("bert").family)
    block = "bert.encoder.layer.0."
    assert {name.removeprefix(block): dims for name, dims in found.items() if name.startswith(block)} == {
        "attention.self.query.weight": (1,),
        "attention.self.key.weight": (1,),
        "attention.self.value.weight": (1,),
        "attention.output.dense.weight": (0,),
        "attention.output.dense.bias": (0,),
        "attention.output.LayerNorm.weight": (0,),
        "attention.output.LayerNorm.bias": (0,),
        "intermediate.dense.weight": (1,),
        "output.dense.weight": (0,),
        "output.dense.bias": (0,),
        "output.LayerNorm.weight": (0,),
        "output.LayerNorm.bias": (0,),
    }
    assert found["bert.pooler.dense.weight"] == (0, 1) and found["bert.pooler.dense.bias"] == (0,)
    assert found["classifier.weight"] == (1,) and "classifier.bias" not in found
    assert found["bert.embeddings.word_embeddings.weight"] == (1,)


def test_an_embedding_of_the_same_width_is_the_same_dimension():
    bundle = tiny_bundle("electra", embedding_size=32)
    keep_width(bundle.model, bundle.family, SOME_WIDTH)
    assert bundle.config.embedding_size == bundle.config.hidden_size == len(SOME_WIDTH)
    assert tiny_logits(bundle).shape == (5, 2)


def test_it_can_be_cut_twice_and_opened_for_another_task(tmp_path):
    bundle = tiny_bundle("bert")
    keep_width(bundle.model, bundle.family, SOME_WIDTH)
    bundle = load(save(bundle, tmp_path / "once"))
    keep_width(bundle.model, bundle.family, tuple(range(0, len(SOME_WIDTH), 2)))
    save(bundle, tmp_path / "twice")
    again = load(tmp_path / "twice")
    assert torch.equal(tiny_logits(again), tiny_logits(bundle)) and again.sketch().head_size == 8
    from compress.core.checkpoint.for_task import load_source

    asked = ("a", "b", "c")
    three = load_source(str(tmp_path / "twice"), head="sequence_classification", labels=asked)
    assert tiny_logits(three).shape == (5, 3) and torch.isfinite(tiny_logits(three)).all()


@pytest.mark.parametrize("kept", [(), (2, 1), (0, 32)])
def test_impossible_choices_are_named(kept):
    bundle = tiny_bundle("bert")
    with pytest.raises(InputError, match="entries of the hidden states to keep"):
        keep_width(bundle.model, bundle.family, kept)


def test_biases_can_be_added_to_a_narrower_model(tmp_path):
    from compress.core.surgery.biases import add_biases

    bundle = tiny_bundle("modernbert")
    keep_width(bundle.model, bundle.family, SOME_WIDTH)
    before = tiny_logits(bundle)
    assert add_biases(bundle.model, bundle.family.bias_fields)
    assert torch.equal(tiny_logits(bundle), before)
    keep_width(bundle.model, bundle.family, tuple(range(0, len(SOME_WIDTH), 2)))
    assert torch.equal(tiny_logits(load(save(bundle, tmp_path))), tiny_logits(bundle))
