"""Ratios of time at the size of MiniLM: an epoch of distillation to a plain one, a pass of Taylor to an epoch."""

from __future__ import annotations

import json
import time

import pytest
import torch

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.matrices import block_matrices
from compress.core.surgery.changes import KeepLayers
from compress.distill.losses.hidden_states import HiddenStates
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.objective import distillation
from compress.prune.criteria.taylor import Taylor
from compress.prune.units.heads import Heads
from compress.prune.units.neurons import Neurons
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from tests.compress.distill.stub import trained
from tests.tiny import tiny_rows

pytestmark = pytest.mark.benchmark
ROWS = 704  # 668 after select: 21 batches
REPEATS = 3
SIZE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
PLAN = TrainPlan(epochs=2).over(DEFAULT_PLAN)


def context(directory, scratch, *, times):
    """Of rows whose texts stand there so many times over: 7 tokens, or 32."""
    for part, count in (("train", ROWS), ("validation", 8)):
        rows = [{"text": " ".join([row["text"]] * times), "label": row["label"]} for row in tiny_rows(count)]
        (directory / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    task = TextClassification(data=str(directory), max_length=64)
    return make_context(task, task.load(0), seed=0, device=torch.device("cpu"), scratch=scratch)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory):
    return context(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("scratch"), times=1)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    return context(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("scratch"), times=6)


@pytest.fixture(scope="module")
def teacher():
    return trained("bert", vocab_size=30522, **SIZE)


def student_of(teacher):
    return KeepLayers(kept=(0, 2, 5), of=6).apply(teacher.copy())


def fit_seconds(ctx, student, objective, name):
    return ctx.fit(student, objective, PLAN, name=name).seconds


def test_a_distillation_epoch_costs_little_more_than_a_plain_one(ctx, teacher):
    losses = (SoftTargets(), HiddenStates())
    distil = distillation(student_of(teacher), teacher.copy(), losses, ctx, PLAN, name="overhead")
    assert distil.facts(1)["teacher_outputs"]["outputs"] == "cached"
    plain, distilled = [], []
    for repeat in range(REPEATS):
        plain.append(fit_seconds(ctx, student_of(teacher), ctx.task_objective(), f"plain-{repeat}"))
        distilled.append(fit_seconds(ctx, student_of(teacher), distil, f"distil-{repeat}"))
    ratio = min(distilled) / min(plain)
    print(f"distillation epoch / plain epoch: {ratio:.3f} ({min(plain) / 2:.2f} s a plain epoch)")
    assert ratio <= 1.15


@pytest.mark.parametrize("pattern", [Heads(), Neurons()])
def test_a_taylor_pass_costs_less_than_an_epoch(ctx, teacher, pattern):
    taylor, epoch = seconds_of_taylor(ctx, teacher, lambda of, criterion: criterion.score(of, pattern, ctx), PLAN)
    print(f"taylor of {pattern.name} / training epoch over the same rows: {taylor / epoch:.3f}")
    assert taylor <= 1.3 * epoch


def test_a_taylor_pass_of_weights_costs_less_than_an_epoch(longer, teacher):
    """Both in fp32: a pass scores in it, wherever the training runs in bf16."""

    def score(bundle, criterion):
        criterion.score_weights(bundle, block_matrices(bundle), longer)

    taylor, epoch = seconds_of_taylor(longer, teacher, score, TrainPlan(precision="fp32").over(PLAN))
    print(f"taylor of single weights / training epoch over the same rows: {taylor / epoch:.3f}")
    assert taylor <= 1.3 * epoch


def seconds_of_taylor(ctx, teacher, score, plan):
    """The fastest pass, and the fastest epoch beside it."""
    epoch, taylor = [], []
    for repeat in range(REPEATS):
        fitted = ctx.fit(student_of(teacher), ctx.task_objective(), plan, name=f"plain-{id(score)}-{repeat}")
        epoch.append(fitted.seconds / plan.epochs)
        bundle, started = student_of(teacher), time.perf_counter()
        score(bundle, Taylor(batches=64))
        taylor.append(time.perf_counter() - started)
    return min(taylor), min(epoch)
