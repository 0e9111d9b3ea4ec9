"""Each criterion against a plain reference, on every family that it works on."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress.core.errors import InputError
from compress.core.families.family import family_of
from compress.core.stage.context import Context
from compress.prune.criteria.fisher import Fisher
from compress.prune.criteria.magnitude import Magnitude, unit_norms
from compress.prune.criteria.random import Random
from compress.prune.criteria.similarity import Similarity, block_influence
from compress.prune.criteria.taylor import Taylor
from compress.prune.stage import Prune
from compress.prune.units.gating import unit_gradients
from compress.prune.units.heads import Heads
from compress.prune.units.layers import Layers
from compress.prune.units.neurons import Neurons
from compress.prune.units.pattern import unit_linears
from compress.prune.units.width import Width
from compress.prune.weights.elements import Elements
from tests.compress.distill.stub import ROWS, encode, stub_context, trained
from tests.tiny import FAMILIES, IMAGE_FAMILIES

TEXT = [name for name in FAMILIES if name not in IMAGE_FAMILIES]
CASES = [
    (name, pattern)
    for name in TEXT
    for pattern in (Heads(), Neurons(), Layers(), Width())
    if pattern.part not in family_of(name).refusals
]


def test_unit_norms_against_numpy():
    weights = [torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (3, 7)]
    expected = np.linalg.norm(np.concatenate([weight.numpy() for weight in weights], 1), axis=1)
    np.testing.assert_allclose(unit_norms(weights).numpy(), expected, rtol=1e-6)


def test_slopes_and_their_sums_against_numpy():
    shape = (4, 6, 8)
    inputs, gradients = (torch.randn(2, *shape, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    by_row = (inputs.numpy() * gradients.numpy()).reshape(2, 4, 6, 2, 4).sum((0, 2, 4))
    found = unit_gradients(list(inputs), list(gradients), units=2)
    np.testing.assert_allclose(found.numpy(), by_row, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(Taylor().of_example(found.clone()).sum(0).numpy(), np.abs(by_row).sum(0), rtol=1e-5)
    np.testing.assert_allclose(Fisher().of_example(found.clone()).sum(0).numpy(), np.square(by_row).sum(0), rtol=1e-5)


def gated_loss(bundle, linear, batch, unit, units, factor):
    """The loss of a batch where one unit's gate is `factor`."""

    def hook(_, arguments):
        gate = torch.ones(units, dtype=torch.float64)
        gate[unit] = factor
        return (arguments[0] * gate.repeat_interleave(arguments[0].shape[-1] // units),)

    handle = linear.register_forward_pre_hook(hook)
    with torch.no_grad():
        loss = stub_context().task_objective()(bundle.model, batch)
    handle.remove()
    return loss.item()


def slope(bundle, linear, batch, unit, units, step=1e-5):
    above, below = (gated_loss(bundle, linear, batch, unit, units, 1 + side) for side in (step, -step))
    return (above - below) / (2 * step)


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2"])
@pytest.mark.parametrize("pattern", [Heads(), Neurons()])
def test_what_the_gates_say_is_the_slope_of_each_rows_loss_by_the_gate(name, pattern):
    bundle = trained(name)
    bundle.model.double()
    counts = pattern.counts(bundle.sketch())
    batch = encode(bundle, ROWS[:3])
    found = pattern.gate_gradients(bundle, batch, stub_context().task_objective())
    singles = [{key: value[row : row + 1] for key, value in batch.items()} for row in range(3)]
    block = len(counts) - 1
    linear = unit_linears(bundle, pattern.role)[block]
    for unit in range(3):
        slopes = [slope(bundle, linear, one, unit, counts[block]) for one in singles]
        np.testing.assert_allclose(found[block][:, unit].numpy(), slopes, rtol=1e-4, atol=1e-7)


def test_looking_at_the_gates_leaves_the_model_as_it_was():
    bundle = trained()
    bundle.model.train()
    before = {name: value.clone() for name, value in bundle.model.state_dict().items()}
    bundle.model.requires_grad_(False)
    found = Heads().gate_gradients(bundle, encode(bundle, ROWS[:4]), stub_context().task_objective())
    assert all(slope.abs().gt(0).all() for slope in found)
    assert bundle.model.training and all(p.grad is None for p in bundle.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in bundle.model.state_dict().items())
    assert not any(linear._forward_pre_hooks for linear in unit_linears(bundle, Heads().role))


@pytest.mark.parametrize(("name", "pattern"), CASES)
def test_every_criterion_scores_every_unit(name, pattern):
    bundle = trained(name)
    counts = pattern.counts(bundle.sketch())
    for criterion in (Random(), Magnitude(), *(kind(batches=2, batch_size=8) for kind in (Taylor, Fisher, Similarity))):
        if criterion.refuses(pattern, "uniform"):
            continue
        scores = criterion.score(bundle, pattern, stub_context())
        assert tuple(map(len, scores)) == counts
        assert all(torch.isfinite(score).all() and (score >= 0).all() for score in scores)
        again = criterion.score(bundle, pattern, stub_context())
        assert all(torch.equal(one, other) for one, other in zip(scores, again))


def test_magnitude_of_heads_against_numpy():
    bundle = trained("bert")
    layer = bundle.model.bert.encoder.layer[1]
    parts = [getattr(layer.attention.self, role).weight for role in ("query", "key", "value")]
    parts.append(layer.attention.output.dense.weight.T)
    stacked = np.concatenate([part.detach().numpy().reshape(4, -1) for part in parts], 1)
    found = Magnitude().score(bundle, Heads(), stub_context())[1]
    np.testing.assert_allclose(found.numpy(), np.linalg.norm(stacked, axis=1), rtol=1e-5)


def test_magnitude_of_gated_neurons_counts_the_gate():
    bundle = trained("modernbert")
    mlp = bundle.model.model.layers[0].mlp
    rows = np.concatenate([*np.split(mlp.Wi.weight.detach().numpy(), 2), mlp.Wo.weight.detach().numpy().T], 1)
    found = Magnitude().score(bundle, Neurons(), stub_context())[0]
    np.testing.assert_allclose(found.numpy(), np.linalg.norm(rows, axis=1), rtol=1e-5)


def test_taylor_is_normalised_in_each_layer():
    for score in Taylor(batches=2).score(trained(), Heads(), stub_context()):
        np.testing.assert_allclose(score.norm().item(), 1, rtol=1e-5)


def gated_layer(bundle, number, factor):
    """Hooks a factor on what one layer adds to its input."""

    def hook(_, arguments, outputs):
        return arguments[0] + factor * (outputs - arguments[0])

    return bundle.family.module_list(bundle.model)[number].register_forward_hook(hook)


def test_the_slope_of_a_layer_is_that_of_what_it_adds():
    bundle, step = trained("bert"), 1e-5
    bundle.model.double()
    batch = encode(bundle, ROWS[:1])
    (found,) = Layers().gate_gradients(bundle, batch, stub_context().task_objective())
    for number in range(4):
        losses = []
        for factor in (1 + step, 1 - step):
            handle = gated_layer(bundle, number, factor)
            with torch.no_grad():
                losses.append(stub_context().task_objective()(bundle.model, batch).item())
            handle.remove()
        np.testing.assert_allclose(found[0, number].item(), (losses[0] - losses[1]) / (2 * step), rtol=1e-4, atol=1e-7)


def test_the_slope_of_an_entry_is_that_of_the_hidden_states_between_layers():
    bundle, step = trained("bert"), 1e-5
    bundle.model.double()
    batch = encode(bundle, ROWS[:1])
    (found,) = Width().gate_gradients(bundle, batch, stub_context().task_objective())
    encoder = bundle.model.bert.encoder
    for entry in (0, 7, 31):
        losses = []
        for factor in (1 + step, 1 - step):
            gate = torch.ones(32, dtype=torch.float64)
            gate[entry] = factor
            handles = [bundle.model.bert.embeddings.register_forward_hook(lambda _, __, made, gate=gate: made * gate)]
            handles += [b.register_forward_hook(lambda _, __, made, gate=gate: made * gate) for b in encoder.layer]
            with torch.no_grad():
                losses.append(stub_context().task_objective()(bundle.model, batch).item())
            for handle in handles:
                handle.remove()
        np.testing.assert_allclose(found[0, entry].item(), (losses[0] - losses[1]) / (2 * step), rtol=1e-4, atol=1e-7)


def test_block_influence_against_numpy():
    given, made = (torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    tokens = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()
    x, y = given.numpy()[tokens.numpy()], made.numpy()[tokens.numpy()]
    cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(block_influence(given, made, tokens).item(), 1 - cosines.mean(), rtol=1e-5)
    assert block_influence(given, 3 * given, tokens).item() == pytest.approx(0, abs=1e-6)


def test_similarity_is_of_the_hidden_states_between_the_layers():
    bundle = trained("bert")
    batch = encode(bundle, ROWS[:8])
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "row_id")}
    with torch.no_grad():
        hidden = bundle.model(**inputs, output_hidden_states=True).hidden_states
    expected = [block_influence(*pair, batch["attention_mask"].bool()).item() for pair in pairwise(hidden)]
    (found,) = Similarity(batches=1, batch_size=8).score(bundle, Layers(), stub_context())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_similarity_is_for_layers_alone():
    assert Similarity().refuses(Layers(), "uniform") is None
    for pattern in (Heads(), Neurons()):
        with pytest.raises(ValidationError, match=f"{pattern.part} have none of their own"):
            Prune(pattern=pattern, sparsity=0.5, criterion=Similarity())
    with pytest.raises(ValidationError, match="similarity scores whole units, not elements"):
        Prune(pattern=Elements(), sparsity=0.5, criterion=Similarity())


def test_chance_follows_the_seed():
    scores = [Random().score(trained(), Heads(), Context(seed=seed)) for seed in (0, 0, 1)]
    assert torch.equal(scores[0][0], scores[1][0]) and not torch.equal(scores[0][0], scores[2][0])


def test_taylor_without_data_says_so():
    with pytest.raises(InputError, match="needs data"):
        Taylor().score(trained(), Heads(), Context())
