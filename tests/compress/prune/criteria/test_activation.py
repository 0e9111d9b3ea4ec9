"""The mean magnitude of activations against numpy, padding left out, on every family that it works on."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from compress.core.families.family import family_of
from compress.core.model.evaluation import model_inputs
from compress.prune.criteria.activation import Activation, unit_activations
from compress.prune.stage import Prune
from compress.prune.units.heads import Heads
from compress.prune.units.layers import Layers
from compress.prune.units.neurons import Neurons
from compress.prune.units.pattern import unit_linears
from compress.prune.units.width import Width
from tests.compress.distill.stub import ROWS, encode, stub_context, trained
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle
from tests.tiny.stages import refused

CASES = [
    (name, pattern)
    for name in FAMILIES
    if name not in IMAGE_FAMILIES
    for pattern in (Heads(), Neurons(), Layers(), Width())
    if pattern.part not in family_of(name).refusals
]
ONE_BATCH = Activation(batches=1, batch_size=8)


def normalised(values):
    return values / np.linalg.norm(values)


def inputs_of(bundle, module, batch):
    """What enters a linear in one forward pass, (tokens, width), padding left out by the mask."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        bundle.model(**model_inputs(batch, bundle.model))
    handle.remove()
    return seen[0].numpy()[batch["attention_mask"].bool().numpy()]


def test_a_unit_is_the_mean_of_its_tokens_and_entries():
    activations = torch.randn(7, 12, generator=torch.Generator().manual_seed(0))
    expected = np.abs(activations.numpy()).reshape(7, 3, 4).mean((0, 2))
    np.testing.assert_allclose(unit_activations(activations, units=3).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("pattern", [Heads(), Neurons()])
def test_heads_and_neurons_are_what_enters_their_linear(pattern):
    bundle = trained("bert")
    batch = encode(bundle, ROWS[:8])
    assert not batch["attention_mask"].all(), "without padding nothing is left out"
    scores = ONE_BATCH.score(bundle, pattern, stub_context())
    for score, linear in zip(scores, unit_linears(bundle, pattern.role), strict=True):
        entered = np.abs(inputs_of(bundle, linear, batch))
        expected = entered.reshape(len(entered), len(score), -1).mean((0, 2))
        np.testing.assert_allclose(score.numpy(), normalised(expected), rtol=1e-5)


def test_layers_are_what_they_add_and_entries_what_runs_between_them():
    bundle = trained("bert")
    batch = encode(bundle, ROWS[:8])
    with torch.no_grad():
        hidden = bundle.model(**model_inputs(batch), output_hidden_states=True).hidden_states
    real = [states.numpy()[batch["attention_mask"].bool().numpy()] for states in hidden]
    (layers,) = ONE_BATCH.score(bundle, Layers(), stub_context())
    added = np.array([np.abs(made - given).mean() for given, made in pairwise(real)])
    np.testing.assert_allclose(layers.numpy(), normalised(added), rtol=1e-4)
    (entries,) = ONE_BATCH.score(bundle, Width(), stub_context())
    np.testing.assert_allclose(entries.numpy(), normalised(np.abs(np.stack(real)).mean((0, 1))), rtol=1e-5)


def test_batches_count_by_their_tokens():
    bundle = trained("bert")
    whole = Activation(batches=1, batch_size=40).score(bundle, Neurons(), stub_context())
    parts = Activation(batches=8, batch_size=5).score(bundle, Neurons(), stub_context())
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4)


@pytest.mark.parametrize(("name", "pattern"), CASES)
def test_every_unit_of_every_family_has_a_score(name, pattern):
    bundle = trained(name)
    bundle.model.train()
    scores = ONE_BATCH.score(bundle, pattern, stub_context())
    assert tuple(map(len, scores)) == pattern.counts(bundle.sketch())
    assert all(torch.isfinite(score).all() and (score > 0).all() for score in scores)
    again = ONE_BATCH.score(bundle, pattern, stub_context())
    assert all(torch.equal(one, other) for one, other in zip(scores, again, strict=True))
    assert bundle.model.training and all(p.grad is None for p in bundle.model.parameters())


def test_the_head_need_not_be_trained():
    stage = Prune(pattern=Heads(), sparsity=0.5, criterion=Activation(), recover="none")
    assert refused(stage, tiny_bundle("bert").sketch()) is None
    assert stage.requires().draws and "rows" in stage.requires().data
