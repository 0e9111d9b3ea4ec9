"""The stage on every tiny family: counts, answers, reloading, and back to plain linears."""

import pytest
import torch
from pydantic import ValidationError

from compress.core.bundle import Bundle
from compress.core.change import change_from_data
from compress.core.context import Context
from compress.core.errors import InputError, Refusal, StageFailed
from compress.core.families.family import base_model, family_of
from compress.core.heads import head_counts
from compress.core.kept_layers import KeepLayers
from compress.core.saving import load, save
from compress.core.stock import is_stock
from compress.distill.recover import Recover
from compress.factorize.change import FactorizeLinears, FactorizeTable
from compress.factorize.decompositions.activations import Activations, second_moments
from compress.factorize.decompositions.fisher import Fisher
from compress.factorize.decompositions.frequency import Frequency
from compress.factorize.decompositions.svd import Svd
from compress.factorize.dense import MergeFactors, to_dense
from compress.factorize.low_rank import output_error
from compress.factorize.ranks.budget import Budget
from compress.factorize.ranks.energy import Energy
from compress.factorize.stage import Factorize
from compress.prune.stage import Prune
from compress.quantize.stored import StoreLinears
from tests.compress.distill.stub import encode, stub_context, trained
from tests.tiny import FAMILIES, tiny_inputs, tiny_rows

TEXT = [name for name in FAMILIES if family_of(name).word_embedding]
CASES = [(name, "linears") for name in FAMILIES] + [(name, "embeddings") for name in TEXT]


def factorize(what="linears", **settings):
    rank = {"ratio": 0.5} if what == "linears" else 6
    return Factorize.model_validate({"what": what, "rank": rank, "recover": "none", **settings})


def logits(bundle):
    with torch.no_grad():
        return bundle.model.eval()(**tiny_inputs(bundle)).logits


def weight_of(bundle, path):
    return base_model(bundle.model).get_submodule(path).weight.detach()


def product_at(bundle, path):
    low = base_model(bundle.model).get_submodule(path)
    return (low.expand.weight @ low.reduce.weight).detach()


@pytest.mark.parametrize(("name", "what"), CASES)
def test_counts_answers_reloading_and_back(name, what, tmp_path):
    bundle, stage = trained(name), factorize(what)
    before, sketch, whole = logits(bundle), bundle.sketch(), bundle.copy()
    assert stage.refuses(sketch) is None
    guessed = stage.guess(sketch).apply(bundle.copy())
    bundle = stage.run(bundle, stub_context())
    places = sketch.linears if what == "linears" else (sketch.words,)
    ranks = dict(bundle.changes[-1].ranks) if what == "linears" else {sketch.words.path: 6}
    saved = sum(p.size - ranks[p.path] * sum(p.shape) for p in places)
    assert bundle.sketch().parameters == guessed.sketch().parameters == sketch.parameters - saved
    assert (logits(bundle) - before).abs().max() > 1e-3 and not is_stock(bundle.model, bundle.family)
    # The change alone, of which the stage's first factors are the same, is what a reload and a guess apply.
    torch.testing.assert_close(logits(change_from_data(bundle.changes[-1].data()).apply(whole)), logits(bundle))
    loaded = load(save(bundle, tmp_path / "low"))
    assert torch.equal(logits(loaded), logits(bundle)) and loaded.sketch() == bundle.sketch()
    assert loaded.changes == bundle.changes and "factorized" in loaded.states
    dense = to_dense(loaded)
    torch.testing.assert_close(logits(dense), logits(bundle), atol=1e-5, rtol=0)
    assert dense.sketch().parameters == sketch.parameters and "factorized" not in dense.states
    assert is_stock(dense.model, dense.family)
    assert torch.equal(logits(load(save(dense, tmp_path / "low"))), logits(dense))
    assert not (tmp_path / "low" / "low_rank.py").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_full_rank_gives_the_same_answers(name):
    bundle = trained(name)
    before, sketch = logits(bundle), bundle.sketch()
    bundle = bundle.changed_by(FactorizeLinears(ranks={p.path: min(p.shape) for p in sketch.linears}))
    if sketch.words:
        bundle = bundle.changed_by(FactorizeTable(rank=sketch.words.inputs))
    torch.testing.assert_close(logits(bundle), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "bart", "modernbert", "albert", "deberta"])
def test_the_outputs_error_is_never_above_that_of_plain_svd(name):
    plain, seen = trained(name), trained(name)
    places, batch = plain.sketch().linears, encode(plain, tiny_rows(40, seed=3))
    modules = {p.path: (base_model(plain.model).get_submodule(p.path),) for p in places}
    whole = {p.path: second_moments(plain, modules, batch)[p.path] for p in places[:1] + places[-1:]}
    weights = {path: product_or_weight(modules[path][0]) for path in whole}
    plain = factorize().run(plain, stub_context())
    seen = factorize(by={"activations": {"batches": 2, "batch_size": 20}}).run(seen, stub_context())
    for path, (moment, count) in whole.items():
        errors = [output_error(weights[path] - product_at(b, path), moment / count) for b in (seen, plain)]
        assert errors[0] <= errors[1] * (1 + 1e-4)
        assert errors[0] < errors[1] * 0.99


def product_or_weight(module):
    from compress.core.matrix import matrix

    return matrix(module).detach().clone()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "albert", "distilbert"])
def test_fisher_weighs_rows_by_the_task(name):
    bundle = trained(name)
    path = bundle.sketch().linears[0].path
    first = product_or_weight(base_model(bundle.model).get_submodule(path))
    plain = factorize().run(bundle.copy(), stub_context())
    fisher = factorize(by={"fisher": {"batches": 2, "batch_size": 20}}).run(bundle, stub_context())
    differences = [(first - product_at(found, path)).norm() for found in (plain, fisher)]
    assert differences[0] < differences[1] < 2 * differences[0]
    assert all(parameter.grad is None for parameter in fisher.model.parameters())


def test_frequent_tokens_are_nearer():
    bundle = trained()
    table, batch = weight_of(bundle, "embeddings.word_embeddings"), encode(bundle, tiny_rows(40, seed=3))
    read = batch["input_ids"][batch["attention_mask"].bool()]

    def error(found):
        words = base_model(found.model).get_submodule("embeddings.word_embeddings")
        return (words(read) - table[read]).square().sum()

    plain = factorize("embeddings").run(bundle.copy(), stub_context())
    weighted = factorize("embeddings", by="frequency").run(bundle, stub_context())
    assert error(weighted) < 0.9 * error(plain)


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
    assert "at most" in stage.uncertainty(sketch) and factorize().uncertainty(sketch) is None
    guessed = stage.guess(sketch).apply(bundle.copy()).sketch().parameters
    ctx = stub_context()
    found = stage.run(bundle, ctx).sketch()
    # A budget is spent up to one outer product.
    assert found.parameters <= guessed + (80 if isinstance(rank, Budget) else 0)
    assert sum(p.size if p.rank is None else p.rank * sum(p.shape) for p in found.linears) <= rank.most(sketch.linears)
    if isinstance(rank, Budget):
        spent = sum(p.size if p.rank is None else p.rank * sum(p.shape) for p in found.linears)
        assert spent <= rank.total(sketch.linears) < spent + 200
    assert all(one["kept_energy"] > 0.4 for one in ctx.facts["spectra"]) or isinstance(rank, Budget)


@pytest.mark.parametrize("by", ["svd", "activations", "fisher"])
def test_a_model_that_is_not_finite_is_named(by):
    bundle = trained()
    path = "encoder.layer.1.output.dense"
    base_model(bundle.model).get_submodule(path).weight.data[0, 0] = torch.inf
    with pytest.raises(StageFailed, match=r"not finite") as caught:
        factorize(by=by).run(bundle, stub_context())
    assert "encoder.layer" in str(caught.value) and caught.value.advice


def test_what_would_be_larger_is_left_alone_and_noted():
    ctx = stub_context()
    # 17 (32 + 32) is more than 32 * 32, and 17 (32 + 48) less than 32 * 48.
    bundle = factorize(rank=17).run(trained(), ctx)
    assert len(bundle.changes[-1].ranks) == 8 and len(ctx.facts["left_alone"]) == 16
    by_role = {one["role"]: one for one in ctx.facts["spectra"]}
    assert by_role["query"]["rank"] is None and by_role["query"]["kept_energy"] == 1.0
    assert by_role["up"]["rank"] == 17 and by_role["up"]["of"] == 32 and by_role["up"]["block"] == 3
    assert by_role["up"]["singular_values"][0] == 1.0 and len(by_role["up"]["singular_values"]) == 32
    whole, ctx = trained(), stub_context()
    same = factorize(rank={"energy": 0.999}).run(whole, ctx)
    assert same.changes == () and len(ctx.facts["left_alone"]) == 24 and "factorized" not in same.states


def test_it_recovers(tmp_path):
    ctx = stub_context(tmp_path)
    stage = factorize(recover={"epochs": 2}, by="svd")
    bundle = stage.run(trained(), ctx)
    assert ctx.facts["recovery"]["teacher"] == "the model before the cut" and ctx.fit.plans[0].epochs == 2
    assert torch.isfinite(logits(bundle)).all() and stage.plan().epochs == 2 and stage.draws_random_numbers
    with pytest.raises(InputError, match="task"):
        factorize(recover=Recover()).run(trained(), Context())
    assert not factorize().needs_data and factorize(by="fisher").needs_data and factorize().plan() is None


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
    assert torch.equal(logits(loaded), logits(bundle)) and loaded.sketch().layers == 2


def test_stages_that_need_plain_linears_say_what_to_do():
    from finetune.methods.houlsby import Houlsby
    from finetune.methods.lora import Lora

    bundle = factorize().run(trained(), stub_context())
    sketch = bundle.sketch()
    pruning = Prune.model_validate({"pattern": "heads", "sparsity": 0.5, "recover": "none"})
    assert "prune before 'factorize'" in pruning.refuses(sketch)
    assert "merge_factors" in Lora().refuses(sketch) and Lora().refuses(trained().sketch()) is None
    assert Houlsby(width=8).refuses(sketch) is None
    assert "merge_factors" in StoreLinears(storage="nf4").refuses(sketch)
    with pytest.raises(Refusal, match="merge_factors"):
        head_counts(bundle.model, bundle.family)
    assert MergeFactors().refuses(sketch) is None
    assert "nothing" in MergeFactors().refuses(trained().sketch())
    assert pruning.refuses(MergeFactors().run(bundle, Context()).sketch()) is None


@pytest.mark.parametrize(
    ("name", "states", "settings", "message"),
    [
        ("bert", ["quantized"], {}, "quantized"),
        ("bert", ["masked"], {}, "masks"),
        ("bert", [], {"recover": {"epochs": 1}}, "recover needs a head"),
        ("bert", [], {"by": "fisher"}, "'by: fisher' needs a head"),
        ("bert", [], {"rank": 40}, "rank of 40 is above the width of encoder.layer.0.attention.self.query"),
        ("bert", [], {"rank": 32}, "no smaller than the matrices themselves; choose at most 19"),
        ("bert", [], {"roles": "gate"}, "has no linears in the role 'gate'; it has query, key"),
        ("gpt2", [], {"roles": ["query", "up"]}, "has query, key, value in one linear; name all of them"),
        ("bert", [], {"what": "embeddings", "rank": 33}, "above the width of embeddings.word_embeddings"),
        ("vit", [], {"what": "embeddings", "rank": 4}, "no table of words"),
        ("bert", [], {"rank": {"budget": 100}}, "100 parameters are too few"),
    ],
)
def test_refusals_say_why(name, states, settings, message):
    bundle = trained(name)
    bundle.states = frozenset(states)
    assert message in factorize(**{"what": "linears", **settings}).refuses(bundle.sketch())


def test_a_second_time_says_so():
    bundle = factorize().run(trained(), stub_context())
    assert "factorized already; put `merge_factors`" in factorize().refuses(bundle.sketch())
    assert factorize("embeddings").refuses(bundle.sketch()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "embeddings", "by": "fisher"},
        {"what": "linears", "by": "frequency"},
        {"what": "embeddings", "roles": ["query"]},
        {"roles": []},
        {"roles": ["words"]},
        {"rank": "ratio"},
        {"what": "norms"},
    ],
)
def test_settings_that_do_not_fit(wrong):
    with pytest.raises(ValidationError):
        factorize(**{"what": "linears", **wrong})


def test_recipe_forms():
    form = {"what": "linears", "rank": {"budget": 0.5}, "roles": ["up", "down"], "by": "activations"}
    stage = Factorize.model_validate(form)
    assert stage.by == Activations() and Factorize.model_validate(stage.dump()) == stage
    assert Factorize.model_validate({"what": "embeddings", "rank": 128}).dump() == {"what": "embeddings", "rank": 128}
    assert {type(kind()) for kind in (Svd, Fisher, Frequency)} == {Svd, Fisher, Frequency}
