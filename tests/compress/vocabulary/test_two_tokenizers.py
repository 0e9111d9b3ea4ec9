"""A trimmed student learns from a teacher with the whole vocabulary; exports ship the student's tokenizer."""

from __future__ import annotations

import json

import pytest
import torch

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.distill.stage import Distill
from compress.export.stage import Export
from compress.positions.stage import TrimPositions
from compress.vocabulary.stage import Top, TrimVocabulary
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from recipes.engine.encoding import ENCODING, cut_otherwise, encoding_facts
from tests.compress.distill.stub import trained
from tests.tiny import tiny_rows

CPU = torch.device("cpu")
PLAN = TrainPlan(epochs=1, learning_rate=1e-3, batch_size=16)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for part, count, seed in (("train", 48, 0), ("validation", 24, 1)):
        lines = [json.dumps({key: row[key] for key in ("text", "label")}) for row in tiny_rows(count, seed)]
        (directory / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    return TextClassification(data=str(directory), max_length=24)


@pytest.fixture
def ctx(task, tmp_path):
    return make_context(task, task.load(0), seed=0, device=CPU, scratch=tmp_path / "scratch")


@pytest.fixture(scope="module")
def teacher(task):
    bundle = trained(attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0)
    ctx = make_context(task, task.load(0), seed=0, device=CPU, scratch=None)
    ctx.fit(bundle, ctx.task_objective(), PLAN.model_copy(update={"epochs": 3}).over(DEFAULT_PLAN), name="teacher")
    return bundle


def test_a_trimmed_student_learns_from_a_whole_teacher(ctx, teacher):
    ctx.earlier = {"whole": teacher.copy}
    student = TrimVocabulary(keep=Top(top=80)).run(teacher.copy(), ctx)
    assert student.config.vocab_size < teacher.config.vocab_size
    stage = Distill.model_validate({"teacher": "whole", "student": {"layers": 2}, "train": PLAN.dump()})
    learned = stage.run(student, ctx)
    assert learned.sketch().layers == 2 and learned.config.vocab_size == student.config.vocab_size
    facts = ctx.facts["teacher_outputs"]
    assert facts["rows"] > 40, "out of a cache by row, in the teacher's own tokens"
    assert ctx.facts["losses"]["hidden_states"] > 0


def test_recovery_asks_the_best_row_in_its_own_tokens(ctx, teacher):
    ctx.best = lambda: ("whole", teacher.copy())
    stage = TrimVocabulary.model_validate({"keep": {"top": 70}, "recover": {**PLAN.dump(), "precision": "fp32"}})
    after = stage.run(teacher.copy(), ctx)
    assert after.config.vocab_size == 70 and ctx.facts["recovery"]["teacher"] == "whole"
    assert ctx.facts["recovery"]["teacher_outputs"]["rows"] > 40


def test_texts_that_are_cut_otherwise_are_counted(ctx, task, teacher):
    small = TrimVocabulary.model_validate({"keep": {"top": 64}}).run(teacher.copy(), ctx)
    texts = ["the film is good", "the film", "awful awful awful plot with a warm scene"]
    by_hand = sum(teacher.processor.tokenize(text) != small.processor.tokenize(text) for text in texts)
    assert cut_otherwise(teacher.processor, small.processor, (texts,)) == by_hand > 0
    assert cut_otherwise(teacher.processor, small.processor, (texts, texts)) == by_hand
    rows = task.load(0).evaluation
    facts, (warning,) = encoding_facts(teacher.processor, small.processor, task, rows)
    assert facts[ENCODING]["of"] == len(rows) and facts[ENCODING]["rows"] > 0
    assert "cut into other pieces" in warning and "let the model `recover`" in warning
    _, (healed,) = encoding_facts(teacher.processor, small.processor, task, rows, recovered=True)
    assert "trained on its new pieces" in healed and "let the model" not in healed
    assert encoding_facts(teacher.processor, teacher.processor, task, rows) == ({}, [])
    few = rows.select(range(2))
    ctx.texts = lambda part: task.text_columns(few)
    used = TrimVocabulary(also=None).run(teacher.copy(), ctx)
    assert used.config.vocab_size < 80
    same = encoding_facts(teacher.processor, used.processor, task, few)
    assert same == ({ENCODING: {"rows": 0, "of": 2, "share": 0.0}}, [])


def test_an_export_ships_the_trimmed_tokenizer(ctx, teacher, tmp_path):
    pytest.importorskip("onnxruntime")
    small = TrimVocabulary(keep=Top(top=70)).run(teacher.copy(), ctx)
    short = TrimPositions(length=24).run(small, ctx)
    artifact = Export.model_validate({"format": {"onnx": {"precision": "fp32"}}}).run(short, ctx)
    from transformers import AutoTokenizer

    shipped = AutoTokenizer.from_pretrained(artifact.directory)
    assert shipped.get_vocab() == small.processor.get_vocab() and shipped.model_max_length == 24
