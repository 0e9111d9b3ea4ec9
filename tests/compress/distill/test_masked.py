"""Recovery on raw text: the rows, the heads, the objective, and the training through `finetune`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

import compress.factorize.stage
import compress.prune.stage
import compress.share.stage  # noqa: F401
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError, Refusal
from compress.core.families.family import base_model
from compress.core.fit.protocol import NO_LABEL
from compress.core.layers.low_rank import factorize_table
from compress.core.stage.stage import Stage
from compress.core.surgery.width import keep_width
from compress.distill.masked.model import ORDER, masked_model
from compress.distill.masked.objective import MaskedWords
from compress.distill.masked.segments import IN_ORDER, SWAPPED, rows_of_text, sentences
from compress.distill.recover import Recover, heal
from compress.vocabulary.stage import TrimVocabulary
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from tests.compress.distill.stub import trained
from tests.contracts.test_surgery import supporting
from tests.tiny import tiny_bundle, tiny_inputs, tiny_rows
from tests.tiny.stages import predicted, refused

CPU = torch.device("cpu")
PLAN = {"max_steps": 40, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for part, count, seed in (("train", 96, 0), ("validation", 24, 1)):
        rows = tiny_rows(count, seed)
        lines = [json.dumps({"text": f"{row['text']}. {row['text']}", "label": row["label"]}) for row in rows]
        (directory / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    return TextClassification(data=str(directory), max_length=24)


@pytest.fixture
def ctx(task, tmp_path):
    return make_context(task, task.load(0), seed=0, device=CPU, scratch=tmp_path / "scratch")


def test_sentences_and_their_order():
    assert sentences("One. Two? It is 3.5!") == ["One.", "Two?", "It is 3.5!"]
    documents = [("One. Two. Three.",), ("alone",), *((f"a{n}. b{n}.",) for n in range(40))]
    texts = rows_of_text(documents, seed=1)
    assert texts.labels[1] == NO_LABEL and texts.rows[1] == ("alone",)
    assert set(texts.labels) == {IN_ORDER, SWAPPED, NO_LABEL}
    for row, label in zip(texts.rows[2:], texts.labels[2:]):
        first, second = row if label == IN_ORDER else row[::-1]
        assert first.startswith("a") and second.startswith("b")
    assert rows_of_text(documents, seed=1) == texts
    assert [len(row) for row in rows_of_text([("a", "b", "c")], seed=0).rows] == [2, 1]


def families():
    return [name for name in supporting("vocabulary") if name not in ("t5", "bart", "gpt2")]


@pytest.mark.parametrize("name", families())
def test_every_family_learns_with_its_own_head(name):
    bundle = tiny_bundle(name)
    model = masked_model(bundle, seed=0)
    objective = MaskedWords(bundle.processor)
    known = {"input_ids", "attention_mask"}
    batch = {n: t for n, t in tiny_inputs(bundle).items() if n in known}
    loss = objective(model, {**batch, "labels": torch.tensor([0, 1, NO_LABEL, 0, 1]), "row_id": torch.arange(5)})
    loss.backward()
    assert base_model(model) is base_model(bundle.model)
    assert model.get_output_embeddings().weight is base_model(bundle.model).get_input_embeddings().weight
    still = [n for n, p in model.named_parameters() if p.grad is None]
    assert all("pooler" in n for n in still), "the pooler belongs to the task's head"
    again = masked_model(tiny_bundle(name), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "why"), [("t5", "decoder"), ("bart", "decoder"), ("gpt2", "no masked"), ("vit", "no masked")]
)
def test_families_without_such_a_head_are_refused(name, why):
    bundle = tiny_bundle(name)
    assert why in (Recover(by="mlm").refuses(bundle.sketch()) or "")
    with pytest.raises(Refusal, match=why):
        masked_model(bundle, seed=0)


def test_what_is_asked_and_what_is_hidden():
    bundle = tiny_bundle("bert")
    objective = MaskedWords(bundle.processor)
    ids = torch.randint(5, 82, (200, 30))
    ids[:, 0], ids[:, -1] = 2, 1
    torch.manual_seed(0)
    asked = objective.asked(ids)
    assert not asked[:, [0, -1]].any() and asked.float().mean().item() == pytest.approx(0.15 * 28 / 30, abs=0.01)
    hidden = objective.hidden(ids, asked)
    assert torch.equal(hidden[~asked], ids[~asked])
    assert (hidden[asked] == objective.mask).float().mean().item() == pytest.approx(0.8, abs=0.04)
    assert (hidden[asked] == ids[asked]).float().mean().item() == pytest.approx(0.1, abs=0.04)
    assert objective.asked(torch.tensor([[2, 9, 1]])).tolist() == [[False, True, False]]


def test_without_a_mask_token_there_is_nothing_to_hide():
    bundle = tiny_bundle("bert")
    bundle.processor.mask_token = None
    with pytest.raises(Refusal, match="no mask token"):
        MaskedWords(bundle.processor)
    with pytest.raises(Refusal, match="there is no tokenizer"):
        MaskedWords(None)


STAGES = {
    "trim_vocabulary": {"also": "none"},
    "share": {},
    "convert": {"to": "albert", "width": 8},
    "factorize": {"what": "embeddings", "rank": 8},
    "prune": {"pattern": "heads", "sparsity": 0.5},
}


@pytest.mark.parametrize("name", STAGES)
def test_what_is_in_the_way_is_found_before_any_work(name, tmp_path):
    def stage(**recover):
        settings = {**STAGES[name], "recover": {"by": "mlm", **recover}}
        return Stage.members()[name].model_validate(settings)

    bundle = trained().to("meta")
    after = predicted(stage(), bundle)
    stage().check(after, None)
    with pytest.raises(InputError, match="does not exist"):
        stage(head="/nowhere").check(after, None)
    other = tiny_bundle("electra")
    save(other, tmp_path)
    with pytest.raises(InputError, match="another family: 'electra'"):
        stage(head=str(tmp_path)).check(after, None)
    after.processor.mask_token = None
    with pytest.raises(Refusal, match="no mask token"):
        stage().check(after, None)


def test_a_factorized_table_is_its_own_output():
    bundle = tiny_bundle("bert")
    table = factorize_table(bundle.model, bundle.model.bert.embeddings.word_embeddings, 8)
    model = masked_model(bundle, seed=0)
    names = [name for name, _ in model.named_parameters() if "word_embeddings" in name]
    assert names == [f"bert.embeddings.word_embeddings.{n}" for n in ("weight", "projection.weight")]
    logits = model(torch.tensor([[2, 9, 3]])).logits
    assert logits.shape == (1, 3, 82)
    hidden = model.cls.predictions.transform(model.bert(torch.tensor([[2, 9, 3]])).last_hidden_state)
    dense = table.projection(table.weight)
    assert torch.allclose(logits, hidden @ dense.T + model.cls.predictions.bias, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["share", "convert", "factorize"])
def test_smaller_models_recover_on_raw_text(name, ctx, tmp_path):
    stage = Stage.members()[name].model_validate({**STAGES[name], "recover": {"by": "mlm", "train": PLAN}})
    bundle = trained()
    bundle.states = frozenset()  # no head is needed
    assert refused(stage, bundle.sketch()) is None
    guessed = predicted(stage, bundle.copy())
    damaged = bundle.copy().changed_by(stage.decide(bundle.copy(), ctx))
    found = stage.run(bundle, ctx)
    assert found.sketch().parameters == guessed.sketch().parameters
    assert found.states == damaged.states
    words = found.family.word_embedding
    before, after = (base_model(b.model).get_submodule(words).weight for b in (damaged, found))
    assert not torch.equal(before, after)
    facts = ctx.facts["recovery"]
    assert facts["by"] == "mlm" and facts["steps"] == 40 and facts["losses"]["masked_words"] < 4.4
    inputs = tiny_inputs(found)
    opened = load(save(found, tmp_path / "found"))
    with torch.no_grad():
        assert torch.equal(opened.model(**inputs).logits, found.model.eval()(**inputs).logits)
    assert opened.sketch() == found.sketch()


@pytest.mark.parametrize("rank", [None, 8])
@pytest.mark.parametrize("name", families())
def test_a_narrower_body_learns_under_a_narrower_head(name, rank, tmp_path):
    bundle = tiny_bundle(name)
    if "width" in bundle.family.refusals:
        pytest.skip("its width cannot be cut")
    keep_width(bundle.model, bundle.family, tuple(range(20)))
    bundle = load(save(bundle, tmp_path))
    if rank:
        factorize_table(bundle.model, base_model(bundle.model).get_input_embeddings(), rank)
    model = masked_model(bundle, seed=0)
    known = {"input_ids", "attention_mask"}
    batch = {n: t for n, t in tiny_inputs(bundle).items() if n in known}
    labels = {"labels": torch.tensor([0, 1, NO_LABEL, 0, 1]), "row_id": torch.arange(5)}
    MaskedWords(bundle.processor)(model, {**batch, **labels}).backward()
    assert base_model(model) is base_model(bundle.model)
    assert all("pooler" in n for n, p in model.named_parameters() if p.grad is None)


def test_the_body_learns_and_the_heads_are_dropped(ctx):
    bundle = trained()
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    heal(bundle, Recover.model_validate({"by": "mlm", "train": PLAN}), ctx, teacher=None)
    after = bundle.model.state_dict()
    assert after.keys() == before.keys()
    assert torch.equal(after["classifier.weight"], before["classifier.weight"])
    assert torch.equal(after["bert.pooler.dense.weight"], before["bert.pooler.dense.weight"])
    assert not torch.equal(
        after["bert.embeddings.word_embeddings.weight"], before["bert.embeddings.word_embeddings.weight"]
    )
    facts = ctx.facts["recovery"]
    assert facts["by"] == "mlm" and facts["rows"] == facts["pairs"] == 91 and facts["steps"] == 40
    assert facts["losses"]["masked_words"] < 4.4 and not hasattr(bundle.model, ORDER)


def test_it_stands_behind_every_stage_with_recover_and_reads_a_file(ctx, tmp_path):
    file = tmp_path / "raw.txt"
    file.write_text("\n".join(row["text"] for row in tiny_rows(30, seed=8)) + "\n\nalone\n", "utf-8")
    stage = TrimVocabulary.model_validate(
        {"keep": {"top": 70}, "recover": {"by": "mlm", "corpus": str(file), "train": {**PLAN, "max_steps": 2}}}
    )
    after = stage.run(trained(), ctx)
    assert after.config.vocab_size == 70 and after.states == {"head_trained", "trimmed"}
    assert (ctx.facts["recovery"]["pairs"], ctx.facts["recovery"]["rows"]) == (15, 16)


def test_the_head_of_a_checkpoint(tmp_path):
    import transformers

    bundle = tiny_bundle("bert")
    theirs = transformers.BertForMaskedLM(bundle.config)
    theirs.save_pretrained(tmp_path / "own")
    model = masked_model(bundle, seed=0, head=str(tmp_path / "own"))
    assert torch.equal(model.cls.predictions.transform.dense.weight, theirs.cls.predictions.transform.dense.weight)
    tiny_bundle("bert").model.save_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match="no masked language modelling head"):
        masked_model(bundle, seed=0, head=str(tmp_path / "none"))
    tiny_bundle("electra").model.save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match="another family"):
        masked_model(bundle, seed=0, head=str(tmp_path / "other"))


def test_settings_that_contradict_each_other():
    for value in (
        {"by": "mlm", "losses": ["soft_targets"]},
        {"by": "mlm", "train": {"patience": 2}},
        {"by": "task", "corpus": "task"},
        {"head": "somewhere"},
    ):
        with pytest.raises(ValidationError, match="by: mlm"):
            Recover.model_validate(value)
    sketch = replace(trained().sketch(), states=frozenset())
    assert Recover(by="mlm").refuses(sketch) is None
    assert Recover().needs == {"head_trained"} and not Recover(by="mlm").needs
