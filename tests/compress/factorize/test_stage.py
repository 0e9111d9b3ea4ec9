"""The stage on every tiny family: counts, answers, reloading, and back to plain linears."""

import pytest
import torch

from compress.core.checkpoint.architecture import is_stock
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError
from compress.core.families.family import family_of
from compress.core.model.bundle import Bundle
from compress.core.model.change import change_from_data
from compress.core.stage.context import Context
from compress.core.surgery.changes import KeepLayers
from compress.distill.recover import Recover
from compress.factorize.change import FactorizeLinears, FactorizeTable
from compress.factorize.decompositions.activations import Activations
from compress.factorize.decompositions.fisher import Fisher
from compress.factorize.decompositions.frequency import Frequency
from compress.factorize.decompositions.svd import Svd
from compress.factorize.dense import to_dense
from compress.factorize.ranks.budget import Budget
from compress.factorize.ranks.energy import Energy
from compress.factorize.stage import Factorize
from tests.compress.distill.stub import stub_context, trained
from tests.compress.factorize.given import factorize
from tests.tiny import FAMILIES, tiny_logits
from tests.tiny.stages import declared, predicted, refused

TEXT = [name for name in FAMILIES if family_of(name).word_embedding]


CASES = [(name, "linears") for name in FAMILIES] + [(name, "embeddings") for name in TEXT]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_counts_answers_reloading_and_back(name, what, tmp_path):
    bundle, stage = trained(name), factorize(what)
    before, sketch, whole = tiny_logits(bundle), bundle.sketch(), bundle.copy()
    assert refused(stage, sketch) is None
    guessed = predicted(stage, bundle.copy())
    bundle = stage.run(bundle, stub_context())
    places = sketch.linears if what == "linears" else (sketch.words,)
    ranks = dict(bundle.changes[-1].ranks) if what == "linears" else {sketch.words.path: 6}
    saved = sum(p.size - ranks[p.path] * sum(p.shape) for p in places)
    assert bundle.sketch().parameters == guessed.sketch().parameters == sketch.parameters - saved
    assert (tiny_logits(bundle) - before).abs().max() > 1e-3 and not is_stock(bundle.model, bundle.family)
    # The change alone, of which the stage's first factors are the same, is what a reload and a guess apply.
    torch.testing.assert_close(
        tiny_logits(change_from_data(bundle.changes[-1].data()).apply(whole)), tiny_logits(bundle)
    )
    loaded = load(save(bundle, tmp_path / "low"))
    assert torch.equal(tiny_logits(loaded), tiny_logits(bundle)) and loaded.sketch() == bundle.sketch()
    assert loaded.changes == bundle.changes and "factorized" in loaded.states
    dense = to_dense(loaded)
    torch.testing.assert_close(tiny_logits(dense), tiny_logits(bundle), atol=1e-5, rtol=0)
    assert dense.sketch().parameters == sketch.parameters and "factorized" not in dense.states
    assert is_stock(dense.model, dense.family)
    assert torch.equal(tiny_logits(load(save(dense, tmp_path / "low"))), tiny_logits(dense))
    assert not (tmp_path / "low" / "low_rank.py").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_full_rank_gives_the_same_answers(name):
    bundle = trained(name)
    before, sketch = tiny_logits(bundle), bundle.sketch()
    bundle = bundle.changed_by(FactorizeLinears(ranks={p.path: min(p.shape) for p in sketch.linears}))
    if sketch.words:
        bundle = bundle.changed_by(FactorizeTable(rank=sketch.words.inputs))
    torch.testing.assert_close(tiny_logits(bundle), before, atol=1e-5, rtol=0)


def test_tied_outputs_are_factorized_with_the_table(tmp_path):
    from transformers import BertForMaskedLM, GPT2LMHeadModel, T5ForConditionalGeneration

    from tests.tiny.models import tiny_config

    for kind, name in ((BertForMaskedLM, "bert"), (GPT2LMHeadModel, "gpt2"), (T5ForConditionalGeneration, "t5")):
        model = kind(tiny_config(name)).eval()
        bundle = Bundle(model, None)
        count, words = bundle.sketch().parameters, bundle.sketch().words
        inputs = {"input_ids": torch.arange(12).reshape(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
        inputs |= {"decoder_input_ids": inputs["input_ids"]} if name == "t5" else {}
        with torch.no_grad():
            expected = model(**inputs).logits
            full = bundle.copy().changed_by(FactorizeTable(rank=words.inputs)).model(**inputs).logits
            torch.testing.assert_close(full, expected, atol=1e-4, rtol=1e-4)
            bundle = bundle.changed_by(FactorizeTable(rank=6))
            loaded = load(save(bundle, tmp_path / name))
            assert torch.equal(loaded.model(**inputs).logits, bundle.model(**inputs).logits)
        assert loaded.sketch().parameters == bundle.sketch().parameters == count - words.size + 6 * sum(words.shape)


def test_some_roles_only():
    bundle = factorize(roles=["query", "up"]).run(trained(), stub_context())
    assert {path.rpartition(".")[2] for path, _ in bundle.changes[-1].ranks} == {"query", "dense"}
    assert len(bundle.changes[-1].ranks) == 8
    bundle = factorize(roles="output").run(bundle, stub_context())
    ranks = {place.roles: place.rank for place in bundle.sketch().linears}
    assert ranks[("key",)] is None and ranks[("output",)] and ranks[("query",)]


@pytest.mark.parametrize("rank", [Energy(energy=0.5), Budget(parameters=0.5), Budget(parameters=9000)])
def test_ranks_that_the_spectra_decide(rank):
    bundle, stage = trained(), factorize(rank=rank)
    sketch = bundle.sketch()
    assert "at most" in declared(stage, sketch).uncertain and declared(factorize(), sketch).uncertain is None
    guessed = predicted(stage, bundle.copy()).sketch().parameters
    ctx = stub_context()
    found = stage.run(bundle, ctx).sketch()
    # A budget is spent up to one outer product.
    assert found.parameters <= guessed + (80 if isinstance(rank, Budget) else 0)
    assert sum(p.size if p.rank is None else p.rank * sum(p.shape) for p in found.linears) <= rank.most(sketch.linears)
    if isinstance(rank, Budget):
        spent = sum(p.size if p.rank is None else p.rank * sum(p.shape) for p in found.linears)
        assert spent <= rank.total(sketch.linears) < spent + 200
    assert all(cut.kept > 0.4 for shown in ctx.exhibits for cut in shown.lines) or isinstance(rank, Budget)


def test_what_would_be_larger_is_left_alone_and_noted():
    ctx = stub_context()
    # 17 (32 + 32) is more than 32 * 32, and 17 (32 + 48) less than 32 * 48.
    bundle = factorize(rank=17).run(trained(), ctx)
    assert len(bundle.changes[-1].ranks) == 8 and len(ctx.facts["left_alone"]) == 16
    last = {shown.title: shown.lines[-1] for shown in ctx.exhibits}
    assert last["query"].at is None and last["query"].kept == 1.0
    assert last["up"].at == 17 and last["up"].of == 32 and last["up"].name == "layer 3"
    assert last["up"].values[0] == 1.0 and len(last["up"].values) == 32
    whole, ctx = trained(), stub_context()
    same = factorize(rank={"energy": 0.999}).run(whole, ctx)
    assert same.changes == () and len(ctx.facts["left_alone"]) == 24 and "factorized" not in same.states


def test_it_recovers(tmp_path):
    ctx = stub_context(tmp_path)
    stage = factorize(recover={"epochs": 2}, by="svd")
    bundle = stage.run(trained(), ctx)
    assert ctx.facts["recovery"]["teacher"] == "the model before the cut" and ctx.fit.plans[0].epochs == 2
    assert torch.isfinite(tiny_logits(bundle)).all() and stage.requires().draws
    assert declared(stage, bundle.sketch()).training.plan.epochs == 2
    with pytest.raises(InputError, match="task"):
        factorize(recover=Recover()).run(trained(), Context())
    assert (
        not factorize().requires().data
        and factorize(by="fisher").requires().data
        and declared(factorize(), trained().sketch()).training is None
    )


def test_half_precision_and_shared_weights_stay(tmp_path):
    bundle = trained()
    bundle.model.to(torch.bfloat16)
    bundle = factorize().run(bundle, stub_context())
    assert {parameter.dtype for parameter in bundle.model.parameters()} == {torch.bfloat16}
    bundle = trained()
    blocks = bundle.family.module_list(bundle.model)
    blocks[1].attention.self.query.weight = blocks[0].attention.self.query.weight
    count, whole = bundle.sketch().parameters, len(bundle.sketch().linears)
    assert whole == 23
    bundle = factorize().run(bundle, stub_context())
    assert blocks[1].attention.self.query.reduce.weight is blocks[0].attention.self.query.reduce.weight
    assert blocks[1].attention.self.query.bias is not blocks[0].attention.self.query.bias
    assert bundle.sketch().parameters < count and len(bundle.sketch().linears) == 23
    assert to_dense(bundle).sketch().parameters == count


def test_layers_can_go_afterwards(tmp_path):
    bundle = factorize().run(factorize("embeddings").run(trained(), stub_context()), stub_context())
    bundle = bundle.changed_by(KeepLayers(kept=(1, 3), of=4))
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(loaded), tiny_logits(bundle)) and loaded.sketch().layers == 2


def test_recipe_forms():
    form = {"what": "linears", "rank": {"budget": 0.5}, "roles": ["up", "down"], "by": "activations"}
    stage = Factorize.model_validate(form)
    assert stage.by == Activations() and Factorize.model_validate(stage.dump()) == stage
    assert Factorize.model_validate({"what": "embeddings", "rank": 128}).dump() == {"what": "embeddings", "rank": 128}
    assert {type(kind()) for kind in (Svd, Fisher, Frequency)} == {Svd, Fisher, Frequency}
