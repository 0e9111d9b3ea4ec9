"""Cached vectors train a head to the same weights as the frozen encoder beside it would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context
from finetune.cached.features import CachedFeatures
from finetune.method import only_trained
from finetune.methods.head import Head
from finetune.parameters.names import head_names
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.checkpoints import Checkpointing
from finetune.training.fit import make_fit
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle

PLAN = TrainPlan(epochs=2, batch_size=16, precision="fp32", learning_rate=1e-2)
TEXT = sorted(set(FAMILIES) - IMAGE_FAMILIES)
NO_DROPOUT = {
    "hidden_dropout_prob": 0.0, "classifier_dropout": 0.0, "seq_classif_dropout": 0.0, "classifier_dropout_prob": 0.0,
    "dropout_rate": 0.0, "dropout": 0.0, "pooler_dropout": 0.0, "summary_last_dropout": 0.0,
}  # fmt: skip
Make = Callable[..., Context]


def tiny(name: str) -> Bundle:
    bundle = tiny_bundle(name, **NO_DROPOUT)
    for module in bundle.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return bundle


def in_evaluation_mode(task: TextClassification) -> Callable[[nn.Module, Batch], Tensor]:
    """The plain way: the whole model runs for every batch, without dropout."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        model.eval()
        return task.objective(model, batch)

    return objective


def heads(bundle: Bundle) -> list[Tensor]:
    parameters = dict(bundle.model.named_parameters())
    return [parameters[name] for name in sorted(head_names(bundle))]


@pytest.mark.parametrize("name", TEXT)
def test_loss_and_gradients_are_those_of_the_whole_model(name: str, context: Make, task: TextClassification) -> None:
    ctx, bundle = context(), tiny(name)
    objective = CachedFeatures(bundle, head_names(bundle), ctx)
    (batch,) = ctx.batches(bundle, count=1, batch_size=16)
    found = []
    with only_trained(bundle.model, head_names(bundle)):
        for loss in (objective(bundle.model, batch), task.objective(bundle.model, batch)):
            found.append((loss, torch.autograd.grad(loss, heads(bundle))))
    (cached, gradients), (plain, expected) = found
    assert torch.allclose(cached, plain, atol=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4) and other.abs().max() > 1e-3
    assert "forward" not in vars(bundle.model.base_model)


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_the_cache_trains_what_the_frozen_encoder_trains(name: str, context: Make, task: TextClassification) -> None:
    ctx, cached, plain = context(), tiny(name), tiny(name)
    before = [value.detach().clone() for value in heads(cached)]
    Finetune(method=Head(), train=PLAN).run(cached, ctx)
    with only_trained(plain.model, head_names(plain)):
        ctx.fit(plain, in_evaluation_mode(task), PLAN)
    for one, other, old in zip(heads(cached), heads(plain), before, strict=True):
        assert torch.allclose(one, other, atol=2e-4), name
        assert not torch.equal(one, old)


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_a_fresh_pooler_is_trained_on_the_cache_too(name: str, context: Make, task: TextClassification) -> None:
    ctx, cached, plain = context(), tiny(name), tiny(name)
    fresh = frozenset(n for n, _ in cached.model.named_parameters() if ".pooler." in n)
    cached.fresh = plain.fresh = fresh
    with only_trained(plain.model, head_names(plain)):
        ctx.fit(plain, in_evaluation_mode(task), PLAN)
    Finetune(method=Head(), train=PLAN).run(cached, ctx)
    assert cached.fresh == frozenset()
    parameters, expected = dict(cached.model.named_parameters()), dict(plain.model.named_parameters())
    assert len(fresh) == 2
    assert all(torch.allclose(parameters[n], expected[n], atol=2e-4) for n in fresh)


def test_the_encoder_runs_once_and_dropout_in_the_head_stays(context: Make, splits: Splits) -> None:
    bundle, ctx = tiny_bundle("roberta"), context()
    runs: list[int] = []
    modes: list[bool] = []
    bundle.model.roberta.encoder.register_forward_hook(lambda *_: runs.append(1))
    bundle.model.classifier.dropout.register_forward_hook(lambda module, *_: modes.append(module.training))
    objective = CachedFeatures(bundle, head_names(bundle), ctx)
    gathered = len(runs)
    assert gathered == -(-len(splits.train) // 64)
    assert len(objective) == len(splits.train) and objective.bytes == len(splits.train) * 32 * 4
    modes.clear()
    ctx.fit(bundle, objective, TrainPlan(max_steps=4, batch_size=8, precision="fp32"))
    # The one pass more is that of the count of operations, twice a single row.
    assert len(runs) - gathered <= 2
    assert modes[:4] == [True] * 4


def test_its_operations_are_those_of_one_pass(context: Make) -> None:
    few, many = context(), context()
    Finetune(method=Head(), train=PLAN).run(tiny_bundle("bert"), few)
    Finetune(method=Head(), train=PLAN.model_copy(update={"epochs": 8.0})).run(tiny_bundle("bert"), many)
    assert few.facts["training_flops"] < many.facts["training_flops"] < 1.2 * few.facts["training_flops"]
    assert few.facts["cached_rows"] == 91


def test_an_interrupted_head_goes_on(task: TextClassification, splits: Splits, tmp_path: Path, context: Make) -> None:
    class Stop(Hook):
        def __init__(self, steps: int):
            self.left = steps

        def before_step(self, model: nn.Module, progress: float) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    def fitted(steps: int, directory: Path | None) -> Bundle:
        bundle, ctx = tiny_bundle("bert"), context()
        every = Checkpointing(seconds=0, seconds_at_epoch_end=0)
        fit = make_fit(task, splits, seed=0, device=torch.device("cpu"), directory=directory, checkpointing=every)
        objective = CachedFeatures(bundle, head_names(bundle), ctx)
        with only_trained(bundle.model, head_names(bundle)):
            fit(bundle, objective, PLAN, hooks=[Stop(steps)])
        return bundle

    unbroken = fitted(99, None)
    with pytest.raises(KeyboardInterrupt):
        fitted(5, tmp_path)
    resumed = fitted(99, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(heads(unbroken), heads(resumed), strict=True))


def test_a_head_that_reads_more_than_one_vector_is_refused(context: Make) -> None:
    bundle = tiny_bundle("modernbert")
    pooled = bundle.model.forward

    def forward(input_ids: Tensor, attention_mask: Tensor) -> object:
        output = pooled(input_ids=input_ids, attention_mask=attention_mask)
        output.logits = output.logits + input_ids.float().sum(1, keepdim=True)
        return output

    bundle.model.forward = forward
    with pytest.raises(StageFailed, match="more of a row than one vector"):
        CachedFeatures(bundle, head_names(bundle), context())
