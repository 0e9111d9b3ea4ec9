"""A task of another kind needs its own file and nothing else: it is loaded, trained, distilled, scored and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compress.core.answers import Known
from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.save import load, save
from compress.core.errors import StageFailed
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.distill.stage import Distill, Student
from finetune.batching.predict import predict
from finetune.context import make_context
from finetune.methods.head import Head
from finetune.stage import Finetune
from recipes.measure.answers import compare, model_answers, reference_answers
from recipes.measure.quality import changed_inputs, quality
from recipes.measure.runners import open_model
from tests.finetune.tasks.another_task import WordLabels
from tests.tiny import tiny_classifier_directory

pytestmark = pytest.mark.xdist_group("another task")  # the trained model is made once

PLAN = TrainPlan(epochs=12, batch_size=8, learning_rate=3e-3, precision="fp32")
TASK = WordLabels()


def context(scratch: Path | None = None) -> Context:
    return make_context(TASK, TASK.load(0), seed=0, device=torch.device("cpu"), scratch=scratch)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_source(tiny_classifier_directory(tmp_path_factory.mktemp("source")), head=TASK.needs_head)


@pytest.fixture(scope="module")
def tuned(untrained: Bundle) -> Bundle:
    return Finetune(train=PLAN).run(untrained.copy(), context())


def test_the_head_is_the_one_that_the_task_needs(untrained: Bundle) -> None:
    assert type(untrained.model).__name__ == "BertForTokenClassification"
    assert tuple(untrained.config.id2label.values()) == TASK.class_names
    assert "head_trained" not in untrained.states


def test_it_is_trained_and_scored_by_its_own_metric(untrained: Bundle, tuned: Bundle) -> None:
    assert context().evaluate(untrained) < 0.7
    assert context().evaluate(tuned) > 0.9


def test_a_head_that_reads_every_token_is_not_trained_on_one_vector_of_a_row(untrained: Bundle) -> None:
    with pytest.raises(StageFailed, match="more of a row than one vector"):
        Finetune(method=Head(), train=PLAN).run(untrained.copy(), context())


@pytest.mark.slow
def test_a_student_learns_its_answers(tuned: Bundle, tmp_path: Path) -> None:
    ctx = context(tmp_path)
    student = Distill(student=Student(layers=2), losses=["soft_targets"], train=PLAN).run(tuned.copy(), ctx)
    assert ctx.facts["teacher_outputs"]["rows"] == 96
    assert ctx.evaluate(student) > 0.9


def answered(bundle: Bundle) -> tuple[Known, Known]:
    rows = TASK.load(0).evaluation
    return predict(bundle, TASK, rows), TASK.targets(rows)


def test_what_changed_is_told_row_by_row(untrained: Bundle, tuned: Bundle) -> None:
    (before, targets), (after, _) = answered(untrained), answered(tuned)
    assert after.same_rows(targets) and after.values.shape == (len(targets.values), 3)
    found = quality(TASK, after, targets, TASK.load(0).evaluation["part"], before, resamples=50)
    assert found.metric == "recall_of_opinions" and found.examples == 24
    assert found.value == TASK.score(after, targets) > found.value - found.difference
    assert found.agreement == 1 - TASK.changed(after, before).mean()
    assert found.kl > 0 and found.fixed > found.broken
    shown = changed_inputs(TASK, after, before, targets, texts=TASK.texts(TASK.load(0).evaluation))
    assert len(shown) == TASK.changed(after, before).sum()
    assert all(one.before != one.after and len(one.label.split()) == len(one.text.split()) for one in shown)


def test_a_saved_model_gives_the_same_answers(tuned: Bundle, tmp_path: Path) -> None:
    rows, threads = TASK.load(0).evaluation, torch.get_num_threads()
    reference_answers(tuned, TASK, rows, tmp_path / "reference.npz", threads=threads)
    directory = save(tuned, tmp_path / "saved")
    assert type(load(directory).model) is type(tuned.model)
    reopened = open_model(directory, threads=threads)
    assert compare(reopened, TASK, [rows], tmp_path / "reference.npz", 0.0) == 0
    assert np.array_equal(model_answers(reopened, TASK, rows).values, answered(tuned)[0].values)
