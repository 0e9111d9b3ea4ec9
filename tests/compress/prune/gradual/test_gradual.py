"""Gradual pruning: the schedule, the masks on the way, and movement against plain autograd."""

import pytest
import torch
from pydantic import ValidationError
from torch.func import functional_call

from compress.core.errors import InputError
from compress.core.model.matrices import block_matrices
from compress.core.model.matrix import matrix
from compress.core.stage.context import Context
from compress.core.stage.during import During
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.movement import Movement
from compress.prune.gradual.adam import ScoreAdam
from compress.prune.gradual.during import Gradual
from compress.prune.gradual.hook import GradualPruning
from compress.prune.gradual.movement import penalty_gradient, score_gradient
from compress.prune.gradual.ramp import Ramp
from compress.prune.gradual.schedule import Schedule
from compress.prune.gradual.schedules.cubic import Cubic
from compress.prune.selection import kept_count
from compress.prune.stage import Prune
from compress.prune.weights.blocks import Blocks, block_means
from compress.prune.weights.elements import Elements
from compress.prune.weights.n_m import NM
from tests.compress.distill.stub import trained
from tests.tiny import tiny_inputs

SMALL = {"num_hidden_layers": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def ramp(**settings):
    given = {"first": 0.0, "last": 0.6, "start": 0.0, "end": 1.0, "every": 1, "pattern": Elements()}
    return Ramp(schedule=Cubic(), **{**given, **settings})


def cut_share(bundle):
    return 1 - sum(int(m.sum()) for m in bundle.masks.values()) / sum(m.numel() for m in bundle.masks.values())


def test_the_cubic_schedule_is_the_papers():
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 with s_i = 0.1, s_f = 0.9, t_0 = 200, n dt = 500 of 1000 steps
    found = ramp(first=0.1, last=0.9, start=0.2, end=0.7)
    for step in range(200, 701, 50):
        assert found.sparsity(step / 1000) == pytest.approx(0.9 + (0.1 - 0.9) * (1 - (step - 200) / 500) ** 3)
    assert found.sparsity(0.7) == found.sparsity(0.95) == 0.9 and not found.begun(0.199)


@pytest.mark.parametrize("schedule", Schedule.members().values())
def test_every_schedule_rises_from_nothing_to_all(schedule):
    values = [schedule().share(step / 20) for step in range(21)]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1


@pytest.mark.parametrize("allocation", ["uniform", "per_type", "global"])
@pytest.mark.parametrize("pattern", [Elements(), Blocks(rows=4, columns=8), NM(), NM(n=1, m=8)])
def test_masks_narrow_and_end_exactly(pattern, allocation):
    bundle = trained("gpt2", num_hidden_layers=2)
    last = pattern.own_sparsity() or 0.7
    hook = GradualPruning(
        bundle, ramp(last=last, end=0.8, pattern=pattern, allocation=allocation), Magnitude(), Context()
    )
    before, shares = {}, []
    for step in range(10):
        hook.before_step(bundle.model, step / 10)
        assert all(not (mask & ~before[name]).any() for name, mask in bundle.masks.items() if name in before)
        before = dict(bundle.masks)
        shares.append(cut_share(bundle) if bundle.masks else 0.0)
    facts = hook.finish()
    assert shares == sorted(shares) and shares[0] == 0 < shares[4] <= shares[-1] == shares[-2]
    assert len(set(shares)) >= 3, "not at once"
    assert facts == {"sparsity": pytest.approx(last, abs=5e-3), "cuts": 9, "steps_at_final": 2}
    matrices = block_matrices(bundle)
    small = [
        block_means(matrix(part.linear, bundle.masks[name]).float(), 4, 8)
        if isinstance(pattern, Blocks)
        else bundle.masks[name]
        for name, part in matrices.items()
    ]
    if allocation == "uniform" or isinstance(pattern, NM):
        assert all(int(mask.sum()) == kept_count(mask.numel(), last) for mask in small)
    else:
        of = {}
        for mask, part in zip(small, matrices.values()):
            group = of.setdefault(part.role if allocation == "per_type" else "", [0, 0])
            group[0], group[1] = group[0] + int(mask.sum()), group[1] + mask.numel()
        assert all(kept == kept_count(count, last) for kept, count in of.values())
    assert "masked" in bundle.states and [change.kind for change in bundle.changes] == ["mask"]


def test_a_schedule_may_begin_below_what_is_cut_already():
    bundle = Prune.model_validate(
        {"pattern": "elements", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"}
    ).run(trained(), Context())
    first = dict(bundle.masks)
    hook = GradualPruning(bundle, ramp(last=0.8, end=0.5), Magnitude(), Context())
    hook.before_step(bundle.model, 0.1)
    assert all(torch.equal(mask, first[name]) for name, mask in bundle.masks.items())
    hook.finish()
    assert cut_share(bundle) == pytest.approx(0.8, abs=1e-4)
    assert all(not (mask & ~first[name]).any() for name, mask in bundle.masks.items())
    with pytest.raises(InputError, match="cut already"):
        GradualPruning(bundle, ramp(last=0.3), Magnitude(), Context())


class Straight(torch.autograd.Function):
    """A mask that passes gradients on to the scores as if it were not there."""

    @staticmethod
    def forward(ctx, scores, mask):
        return mask

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def kept_of_all(scores, sparsity):
    """Plainly: the highest of all, as many as stay; all where nothing goes."""
    flat = torch.cat([score.detach().flatten() for score in scores.values()])
    best = torch.zeros(len(flat), dtype=torch.bool)
    best[flat.argsort(descending=True, stable=True)[: kept_count(len(flat), sparsity)]] = True
    parts = best.split([score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for part, (name, score) in zip(parts, scores.items())}


def reference_step(model, inputs, scores, masks, optimizers, penalty):
    """One step of W and S, by autograd alone; `masks` are those of the forward pass."""
    weights = dict(model.named_parameters())
    masked = {name: weights[name] * Straight.apply(scores[name], masks[name].float()) for name in scores}
    loss = functional_call(model, masked, (), inputs).loss
    shares = torch.cat([torch.sigmoid(score).flatten() for score in scores.values()])
    (loss + penalty * shares.mean()).backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("soft", [False, True])
def test_movement_is_what_autograd_says(soft):
    settings = {"soft": True, "threshold": 0.45, "penalty": 4000.0, "learning_rate": 0.5} if soft else {}
    ours, plain = trained(**SMALL), trained(**SMALL)
    inputs = {**tiny_inputs(ours), "labels": torch.tensor([0, 1, 0, 1, 0])}
    steps = ramp(last=0.6)
    hook = Movement(**settings).hook(ours, steps)
    optimizer = torch.optim.AdamW(ours.model.parameters(), lr=1e-2)
    weights = dict(plain.model.named_parameters())
    scores = {name: torch.zeros_like(weights[name], requires_grad=True) for name in block_matrices(plain)}
    learn = torch.optim.Adam(scores.values(), lr=0.5) if soft else torch.optim.SGD(scores.values(), lr=1.0)
    optimizers = [torch.optim.AdamW(plain.model.parameters(), lr=1e-2), learn]
    thresholded = False
    for step in range(4):
        before = {name: score.clone() for name, score in hook.score.items()} or scores
        hook.before_step(ours.model, step / 5)
        learn.param_groups[0]["lr"] *= (5 - step) / (6 - step) if soft and step else 1
        masks = kept_of_all(before, steps.sparsity(step / 5))
        if soft and step:
            most = kept_of_all(before, 0.6)
            low = {name: torch.sigmoid(score) <= 0.45 * Cubic().share(step / 5) for name, score in before.items()}
            thresholded |= any((masks[name] & low[name] & ~most[name]).any() for name in masks)
            masks = {name: most[name] | (mask & ~low[name]) for name, mask in masks.items()}
        assert all(torch.equal(mask.float(), hook.now.get(name, mask.float())) for name, mask in masks.items())
        assert hook.now or not step
        ours.model(**inputs).loss.backward()
        hook.after_backward(ours.model, step / 5)
        optimizer.step()
        optimizer.zero_grad()
        reference_step(
            plain.model, inputs, scores, masks, optimizers, 4000.0 * Cubic().share(step / 5) if soft else 0.0
        )
        for name, score in scores.items():
            torch.testing.assert_close(hook.score[name], score.detach(), rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(ours.model.get_parameter(name), weights[name], rtol=1e-4, atol=1e-5)
    assert not ours.masks and all(weight.all() for name, weight in weights.items() if name in scores)
    final = kept_of_all(hook.score, 0.6)
    hook.finish()
    assert all(torch.equal(mask, ours.masks[name]) for name, mask in final.items())
    assert thresholded == soft, "the threshold is put to the test where there is one"


def test_the_parts_of_movement():
    torch.manual_seed(0)
    weight, gradient = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(score_gradient(gradient, weight), gradient * weight)
    scores = torch.randn(3, 4, requires_grad=True)
    (7 * torch.sigmoid(scores).abs().sum() / 24).backward()
    torch.testing.assert_close(penalty_gradient(scores.detach(), 7.0, 24), scores.grad)


def test_the_adam_of_scores_is_torchs_and_goes_on_where_it_was():
    torch.manual_seed(0)
    gradient, value = torch.randn(3, 4), torch.randn(3, 4)
    theirs = torch.nn.Parameter(value.clone())
    optimizer = torch.optim.Adam([theirs], lr=0.1)
    ours = ScoreAdam()
    for step in (1, 2, 3):
        theirs.grad = gradient * step
        optimizer.step()
        ours.step("a", value, gradient * step, learning_rate=0.1)
        state, ours = ours.state_dict(), ScoreAdam()
        ours.load_state_dict(state, {"a": value}, steps=torch.tensor(9))
    assert torch.equal(value, theirs.detach()) and value.grad is None


def test_the_rate_of_scores_rises_until_the_schedule_begins_and_falls_to_nothing():
    hook = Movement(soft=True, learning_rate=0.4).hook(trained(**SMALL), ramp(start=0.2, end=0.6))
    assert [hook.rate(progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0, 0.2, 0.4, 0.2, 0])
    hard = Movement().hook(trained(**SMALL), ramp(start=0.2, end=0.6))
    assert hard.rate(0.1) == hard.rate(0.9) == 1


def test_blocks_by_movement_stay_whole():
    bundle = trained(**SMALL)
    hook = Movement(soft=True).hook(bundle, ramp(pattern=Blocks(rows=4, columns=4)))
    inputs = {**tiny_inputs(bundle), "labels": torch.tensor([0, 1, 0, 1, 0])}
    for step in range(3):
        hook.before_step(bundle.model, step / 4)
        for factor in hook.now.values():
            assert set(block_means(factor, 4, 4).unique().tolist()) <= {0.0, 1.0}
        bundle.model(**inputs).loss.backward()
        hook.after_backward(bundle.model, step / 4)
    hook.finish()
    assert all(set(block_means(mask.float(), 4, 4).unique().tolist()) <= {0.0, 1.0} for mask in bundle.masks.values())


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_so_little_that_nothing_is_cut(allocation):
    bundle = trained(**SMALL)
    hook = GradualPruning(bundle, ramp(last=1e-5, allocation=allocation), Magnitude(), Context())
    hook.before_step(bundle.model, 0.5)
    facts = hook.finish()
    assert facts["sparsity"] == 0 and cut_share(bundle) == 0
    assert bundle.masks.keys() == block_matrices(bundle).keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 0.7, "end": 0.3}, r"`end` \(0.3\) must lie behind `start` \(0.7\)"),
        ({"from": 0.95}, r"`to` \(0.9\) must not lie below `from` \(0.95\)"),
        ({"every": 0}, "greater than or equal to 1"),
        ({"to": 1}, "less than 1"),
        ({"pattern": "heads"}, "heads are cut out for good"),
        ({"pattern": "n_m"}, "itself cuts 0.5"),
        ({"criterion": "wanda"}, "wanda reads data"),
        ({"criterion": "taylor"}, "taylor reads data"),
        ({"criterion": {"movement": {"threshold": 0.2}}}, "threshold belongs to soft movement"),
        ({"schedule": "cubik"}, "cubic"),
        ({"floor": 0.2}, "a floor of 0.2 leaves more"),
        ({"floor": 0.05, "allocation": "uniform"}, "with the allocation 'uniform' none do"),
        ({"allocation": "uniform", "pattern": "n_m", "to": 0.5}, "leave 'allocation' out"),
    ],
)
def test_what_cannot_work_is_found_in_the_recipe(settings, message):
    with pytest.raises(ValidationError, match=message):
        Gradual.model_validate({"to": 0.9, **settings})


def test_movement_outside_a_training_says_where_it_belongs():
    for pattern in ("elements", "heads"):
        with pytest.raises(ValidationError, match=r"during: \{gradual: "):
            Prune.model_validate({"pattern": pattern, "sparsity": 0.5, "criterion": "movement"})


@pytest.mark.parametrize(
    "form",
    [
        {"gradual": {"to": 0.9}},
        {"gradual": {"to": 0.5, "from": 0.2, "pattern": {"n_m": {"n": 2, "m": 4}}, "schedule": "linear"}},
        {"gradual": {"to": 0.8, "criterion": {"movement": {"soft": True, "penalty": 10.0}}}},
    ],
)
def test_a_recipe_and_python_are_the_same(form):
    stage = During.parse(form)
    assert During.parse(stage.recipe_form()) == stage and hash(stage)
    assert During.parse({"gradual": 0.9}) == Gradual(to=0.9) == Gradual(to=0.9, from_=0.0)
    assert During.parse({"gradual": {"pattern": "n_m"}}) == Gradual(to=0.5, pattern=NM())


def test_refusals_say_why():
    bundle = trained()
    assert Gradual(to=0.9).refuses(bundle.sketch()) is None
    assert "blocks of 5" in Gradual(to=0.9, pattern=Blocks(rows=5, columns=4)).refuses(bundle.sketch())
    bundle.states = frozenset({"shared"})
    assert "shared" in Gradual(to=0.9).forbids(bundle.sketch())
