"""The stage: the cut equals the mask, the counts are exact, the model recovers."""

import pytest
import torch
from pydantic import ValidationError

from compress.core.errors import InputError, Refusal
from compress.core.families.family import family_of
from compress.core.fit.plan import TrainPlan
from compress.core.model.change import change_from_data
from compress.core.stage.context import Context
from compress.core.stage.requires import Requires
from compress.distill.recover import Recover
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.random import Random
from compress.prune.criteria.taylor import Taylor
from compress.prune.stage import Prune
from compress.prune.units.changes import KeepHeads, KeepNeurons
from compress.prune.units.heads import Heads
from compress.prune.units.layers import Layers
from compress.prune.units.neurons import Neurons
from compress.prune.units.width import Width
from tests.compress.distill.stub import stub_context, trained
from tests.tiny import FAMILIES, tiny_logits
from tests.tiny.stages import declared, predicted, refused

CASES = [
    (name, pattern)
    for name in FAMILIES
    for pattern in (Heads(), Neurons(), Layers(), Width())
    if pattern.part not in family_of(name).refusals
]


# The last two make a difference where blocks compete.
ALLOCATED = [
    (name, pattern, allocation)
    for name, pattern in CASES
    for allocation in (("uniform", "per_type", "global") if pattern.part in {"heads", "neurons"} else ("uniform",))
]


def prune(pattern, **settings):
    return Prune(**{"pattern": pattern, "sparsity": 0.5, "criterion": Magnitude(), "recover": None, **settings})


def groups(change):
    """What stays of each group; a change of layers or of the width has one group."""
    return (change.kept,) if change.kind in {"keep_layers", "keep_width"} else change.kept


def units(bundle, pattern):
    return pattern.counts(bundle.sketch())


@pytest.mark.parametrize(("name", "pattern", "allocation"), ALLOCATED)
def test_the_cut_model_is_the_masked_model(name, pattern, allocation):
    bundle, stage = trained(name), prune(pattern, allocation=allocation, criterion=Random())
    before = units(bundle, pattern)
    change = stage.decide(bundle, stub_context())
    kept = groups(change)
    with pattern.masked(bundle, kept):
        expected = tiny_logits(bundle)
        # A model masked in its width is a narrower one, which has no such entries to mask again.
        if pattern.part != "width":
            with pattern.masked(bundle, kept):
                assert torch.equal(tiny_logits(bundle), expected)
    whole = tiny_logits(bundle)
    pruned = bundle.changed_by(change)
    torch.testing.assert_close(tiny_logits(pruned), expected, atol=1e-5, rtol=0)
    assert (whole - expected).abs().max() > 1e-3
    assert units(pruned, pattern) == tuple(map(len, kept)) and sum(units(pruned, pattern)) * 2 == sum(before)
    assert all(units(pruned, pattern)) and (allocation != "uniform" or len(set(units(pruned, pattern))) == 1)


@pytest.mark.parametrize(("name", "pattern", "allocation"), ALLOCATED)
def test_the_guess_has_the_size_of_the_result(name, pattern, allocation):
    bundle, stage = trained(name), prune(pattern, allocation=allocation, sparsity=0.25)
    sketch = bundle.sketch()
    assert refused(stage, sketch) is None
    guessed = predicted(stage, bundle.copy()).sketch()
    assert stage.run(bundle, stub_context()).sketch().parameters == guessed.parameters < sketch.parameters
    ties = pattern.ties(sketch)
    competing = allocation != "uniform" and 1 < len(ties) == len(set(ties))
    assert (declared(stage, sketch).uncertain is not None) == competing


def test_one_set_of_heads_goes_by_the_sum_of_the_scores():
    bundle, ctx = trained("mpnet"), stub_context()
    total = sum(Magnitude().score(bundle, Heads(), ctx))
    change = prune(Heads(), allocation="global").decide(bundle, ctx)
    assert set(change.kept) == {tuple(sorted(total.topk(2).indices.tolist()))}


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_blocks_of_one_kind_compete_among_themselves(name):
    bundle, stage = trained(name), prune(Neurons(), allocation="per_type", sparsity=0.25)
    change = stage.decide(bundle, stub_context())
    sizes = list(map(len, change.kept))
    assert sum(sizes[:4]) == 4 * 36 and sum(sizes[4:]) == 2 * 36 and len(set(sizes)) > 1
    assert change.summary(bundle.sketch())["neurons"]["kinds"] == ["encoder"] * 4 + ["decoder"] * 2
    assert "in the decoder, between 1 and" in declared(stage, bundle.sketch()).uncertain


def test_the_first_layer_stays_where_it_must():
    bundle = trained("modernbert")
    for seed in range(4):
        change = prune(Layers(), criterion=Random()).decide(bundle, Context(seed=seed))
        assert change.kept[0] == 0 and len(change.kept) == 2


def test_a_narrower_model_recovers_on_the_logits_alone(tmp_path):
    ctx = stub_context(tmp_path)
    pruned = prune(Width(), recover=Recover()).run(trained(), ctx)
    assert pruned.sketch().hidden == 16 and set(ctx.facts["recovery"]["losses"]) == {"soft_targets"}
    asked = prune(Width(), recover=Recover(losses=["soft_targets", "hidden_states"]))
    assert "hidden states of two sizes" in refused(asked, trained().sketch())


def test_after_the_width_the_teacher_may_be_wider(tmp_path):
    wider = trained(seed=4)
    ctx = stub_context(tmp_path, best=lambda: ("finetune", wider))
    narrow = prune(Width()).run(trained(), stub_context())
    prune(Neurons(), recover=Recover()).run(narrow.copy(), ctx)
    assert set(ctx.facts["recovery"]["losses"]) == {"soft_targets"}
    asked = prune(Neurons(), recover=Recover(losses=["hidden_states"]))
    with pytest.raises(Refusal, match="compares equal hidden sizes"):
        asked.run(narrow, stub_context(tmp_path, best=lambda: ("finetune", wider)))


@pytest.mark.parametrize("pattern", ["elements", "neurons"])
def test_recovery_that_a_family_cannot_have_is_refused(pattern):
    form = {"pattern": pattern, "sparsity": 0.5, "criterion": "magnitude", "recover": {"by": "mlm"}}
    assert "recover by mlm" in refused(Prune.model_validate(form), trained("gpt2").sketch())


@pytest.mark.parametrize("pattern", ["layers", "elements", "heads"])
def test_what_leaves_the_decoder_whole_says_so(pattern):
    stage = Prune.model_validate({"pattern": pattern, "sparsity": 0.5, "criterion": "magnitude", "recover": "none"})
    said = {name: declared(stage, trained(name).sketch()).remarks for name in ("bert", "t5", "bart")}
    words = ("works on the encoder's layers alone; left as they are: decoder, cross-attention",)
    words = words if pattern == "layers" else ()
    assert said == {"bert": (), "t5": words, "bart": words}


def test_similarity_needs_no_trained_head():
    bundle = trained()
    bundle.states = frozenset()
    stage = Prune.model_validate({"pattern": "layers", "sparsity": 0.5, "criterion": "similarity", "recover": "none"})
    assert refused(stage, bundle.sketch()) is None and stage.requires().data and stage.requires().draws
    assert stage.run(bundle, stub_context()).sketch().layers == 2


@pytest.mark.parametrize("criterion", [Random(), Magnitude(), Taylor(batches=2, batch_size=8)])
@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "mpnet", "distilbert"])
def test_run_cuts_and_recovers(name, criterion, tmp_path):
    bundle, ctx = trained(name), stub_context(tmp_path)
    teacher = tiny_logits(bundle)
    pruned = prune(Heads(), criterion=criterion, recover=Recover()).run(bundle, ctx)
    assert set(units(pruned, Heads())) == {2}
    shown = ctx.exhibits[0]
    assert shown.title == "importance of the heads" and list(map(len, shown.values)) == [4, 4, 4, 4]
    assert list(map(len, shown.kept)) == [2, 2, 2, 2]
    assert ctx.facts["recovery"]["teacher"] == "the model before the cut"
    assert ctx.fit.plans[0].epochs == 1 and ctx.fit.losses and torch.isfinite(tiny_logits(pruned)).all()
    assert not torch.equal(tiny_logits(pruned), teacher)
    assert pruned.changes[-1].kind == "keep_heads"


def test_recovery_learns_from_the_best_earlier_row(tmp_path):
    best = trained(seed=4)
    ctx = stub_context(tmp_path, best=lambda: ("finetune", best))
    prune(Neurons(), recover=Recover(train=TrainPlan(epochs=2))).run(trained(), ctx)
    assert ctx.facts["recovery"]["teacher"] == "finetune"
    assert ctx.facts["recovery"]["teacher_outputs"]["outputs"] == "cached"


@pytest.mark.parametrize("recover", [{"losses": ["labels"]}, {"by": "task"}])
def test_recovery_on_labels_asks_no_teacher(recover, tmp_path):
    ctx = stub_context(tmp_path, best=lambda: pytest.fail("asked for a teacher"))
    Prune(pattern=Neurons(), sparsity=0.5, criterion=Magnitude(), recover=recover).run(trained(), ctx)
    assert set(ctx.facts["recovery"]["losses"]) == {"labels"} and "teacher" not in ctx.facts["recovery"]


def test_recovery_repairs_some_of_the_damage(tmp_path):
    quiet = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    ctx = stub_context(tmp_path, steps=25)
    prune(Neurons(), recover=Recover()).run(trained(**quiet), ctx)
    assert ctx.fit.losses[-1] < 0.5 * ctx.fit.losses[0]


def test_without_data_recovery_says_so():
    with pytest.raises(InputError, match="task"):
        prune(Neurons(), recover=Recover()).run(trained(), Context())
    pruned = prune(Neurons()).run(trained(), Context())
    assert set(units(pruned, Neurons())) == {24}


@pytest.mark.parametrize(
    ("settings", "states", "message"),
    [
        ({"criterion": "taylor"}, [], "its head is not trained"),
        ({"recover": {"epochs": 1}}, [], "its head is not trained"),
        ({}, ["quantized"], "quantized"),
        ({"pattern": "width"}, ["factorized"], "put `merge_factors` before this stage"),
        ({"sparsity": 0.9}, [], "leaves none of the 4 heads of a layer"),
        ({"sparsity": 0.9, "pattern": "layers"}, [], "leaves none of the 4 layers of the model"),
        ({"sparsity": 0.99, "pattern": "width"}, [], "leaves none of the 32 entries of the hidden dimension"),
        ({"criterion": "fisher"}, [], "prune by magnitude"),
        ({"sparsity": 0.9, "allocation": "global"}, [], "leaves 2 heads for 4 layers"),
    ],
)
def test_refusals_say_why(settings, states, message):
    bundle = trained()
    bundle.states = frozenset(states)
    stage = Prune.model_validate(
        {"pattern": "heads", "sparsity": 0.5, "criterion": "magnitude", "recover": "none", **settings}
    )
    assert message in refused(stage, bundle.sketch())


def test_what_draws_random_numbers_and_reads_data():
    quiet = prune(Heads())
    assert quiet.requires() == Requires()
    assert declared(quiet, trained().sketch()).training is None
    assert prune(Heads(), criterion=Random()).requires().draws
    assert not prune(Heads(), criterion=Random()).requires().data
    assert prune(Heads(), criterion=Taylor()).requires().data
    healing = prune(Heads(), recover=Recover(train=TrainPlan(learning_rate=1e-3)))
    assert healing.requires().draws and healing.requires().data
    plan = declared(healing, trained().sketch()).training.plan
    assert plan.learning_rate == 1e-3 and plan.epochs == 1 and plan.batch_size == 32


@pytest.mark.parametrize("sparsity", [0, 1, -0.1, 1.5])
def test_sparsity_is_a_share(sparsity):
    with pytest.raises(ValidationError):
        prune(Heads(), sparsity=sparsity)


def test_recipe_forms():
    form = {"pattern": "neurons", "sparsity": 0.5, "criterion": {"taylor": {"batches": 32}}, "recover": {"epochs": 2}}
    stage = Prune.model_validate(form)
    assert stage.recover == Recover(train=TrainPlan(epochs=2)) and Prune.model_validate(stage.dump()) == stage
    for none in ("none", None):
        assert Prune.model_validate({**form, "recover": none}).recover is None
    assert Prune.model_validate({**form, "recover": None}).dump()["recover"] is None
    for wrong in (
        {"epochs": 1, "train": {"epochs": 2}},
        {"by": "task", "losses": ["labels"]},
        {"by": "mlm", "losses": ["labels"]},
        {"epoch": 1},
    ):
        with pytest.raises(ValidationError):
            Prune.model_validate({**form, "recover": wrong})


def test_changes_are_plain_data():
    for kind, part in ((KeepHeads, "heads"), (KeepNeurons, "neurons")):
        change = kind(kept=((0, 2), (1,)), of=(4, 4))
        assert change_from_data(change.data()) == change
        assert change.summary(trained().sketch()) == {part: {"kept": [[0, 2], [1]], "of": 4}}
    assert KeepHeads(kept=((0,), (1,)), of=(2, 3)).summary(trained().sketch())["heads"]["of"] == [2, 3]
