"""Distil and prune through the real training: batches of the task, checkpoints, saving."""

import json

import pytest
import torch

from compress.core.checkpoint.save import load, save
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.distill.stage import Distill, Student
from compress.prune.stage import Prune
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from finetune.training.checkpoints import Checkpointing
from finetune.training.fit import make_fit
from tests.compress.distill.stub import trained
from tests.tiny import tiny_logits, tiny_rows

pytestmark = pytest.mark.xdist_group("distilled")  # what they share is dear, and made once

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    for part, count, seed in (("train", 96, 0), ("validation", 24, 1)):
        lines = [json.dumps({key: row[key] for key in ("text", "label")}) for row in tiny_rows(count, seed)]
        (directory / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    return TextClassification(data=str(directory), max_length=24)


@pytest.fixture
def ctx(task, tmp_path):
    return make_context(task, task.load(0), seed=0, device=CPU, scratch=tmp_path / "scratch")


@pytest.fixture(scope="module")
def teacher(task):
    ctx = make_context(task, task.load(0), seed=0, device=CPU, scratch=None)
    bundle = trained(attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0)
    plan = TrainPlan(epochs=6, learning_rate=1e-3, batch_size=16).over(DEFAULT_PLAN)
    ctx.fit(bundle, ctx.task_objective(), plan, name="teacher")
    assert ctx.evaluate(bundle) > 0.9
    return bundle


@pytest.mark.slow
def test_distil_then_prune_then_reload(ctx, teacher, tmp_path):
    plan = TrainPlan(epochs=4, learning_rate=1e-3, batch_size=16)
    student = Distill(student=Student(layers=2), train=plan).run(teacher.copy(), ctx)
    assert student.sketch().layers == 2 and ctx.facts["teacher_outputs"]["rows"] == 96 - 5
    assert ctx.facts["losses"]["soft_targets"] < 0.1 and ctx.facts["steps"] == 24
    ctx.best = lambda: ("teacher", teacher)
    stage = Prune.model_validate(
        {
            "pattern": "neurons",
            "sparsity": 0.5,
            "criterion": {"taylor": {"batches": 3, "batch_size": 16}},
            "allocation": "global",
            "recover": {"epochs": 2, "learning_rate": 1e-3, "batch_size": 16},
        }
    )
    pruned = stage.run(student, ctx)
    assert sum(pruned.sketch().neurons) == 48 and ctx.evaluate(pruned) > 0.9
    assert ctx.facts["recovery"]["teacher"] == "teacher"
    again = load(save(pruned, tmp_path / "saved"))
    assert torch.equal(tiny_logits(again), tiny_logits(pruned))
    assert [change.kind for change in again.changes] == ["keep_layers", "keep_neurons"]


class Stop(Hook):
    def __init__(self, after):
        self.left = after

    def after_step(self, model, progress):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_distillation_ends_like_an_unbroken_one(ctx, task, teacher, tmp_path):
    splits, stage = task.load(0), Distill(train=TrainPlan(epochs=3, batch_size=16))

    def run(place, *, stop):
        often = Checkpointing(0.0, 0.0)
        fit = make_fit(task, splits, seed=0, device=CPU, directory=tmp_path / place, checkpointing=often)
        ctx.fit = lambda *args, hooks=(), **named: fit(*args, hooks=(*hooks, Stop(stop)), **named)
        ctx.scratch, ctx.facts = tmp_path / place, {}
        return stage.run(teacher.copy(), ctx), ctx.facts

    whole, facts = run("whole", stop=-1)
    with pytest.raises(KeyboardInterrupt):
        run("broken", stop=8)
    assert (tmp_path / "broken" / "teacher-distill" / "complete.json").exists()
    resumed, facts_of_resumed = run("broken", stop=-1)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters()))
    assert facts_of_resumed == facts
