"""The stage, its context, and what a model answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compress.core.errors import InputError
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.stage.stage import Stage
from finetune.batching.predict import predict
from finetune.context import make_context
from finetune.method import Method, only_trained
from finetune.methods.full import Full
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_rows
from tests.tiny.stages import refused

CPU = torch.device("cpu")
SHORT = TrainPlan(max_steps=3, batch_size=8, precision="fp32")


def test_finetune_trains_the_head_and_notes_what_it_did(
    task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=tmp_path)
    before = tiny_bundle("bert")
    after = Finetune(train=SHORT).run(before.copy(), ctx)
    assert "head_trained" in after.states
    assert ctx.facts["steps"] == 3
    assert ctx.facts["select"] == ctx.evaluate(after)
    assert ctx.facts["trained_parameters"] == sum(p.numel() for p in before.model.parameters())
    assert all(p.requires_grad for p in after.model.parameters())
    assert not torch.equal(after.model.classifier.weight, before.model.classifier.weight)


def test_the_plan_takes_what_is_left_out_from_the_method() -> None:
    stage = Finetune(train=TrainPlan(epochs=1))
    assert stage.plan() == TrainPlan(epochs=1).over(Full.default_plan)
    assert stage.plan().learning_rate == DEFAULT_PLAN.learning_rate
    assert stage.requires().draws
    assert refused(stage, tiny_bundle("bert").sketch()) is None


def test_recipe_form() -> None:
    stage = Finetune.model_validate({"method": "full", "train": {"epochs": 3, "learning_rate": 5.0e-5}})
    assert Stage.members()["finetune"] is Finetune
    assert stage.dump() == {"train": {"epochs": 3.0, "learning_rate": 5e-5}}
    assert Method.members()["full"] is Full


def test_only_trained_leaves_what_it_found() -> None:
    model = tiny_bundle("bert").model
    model.classifier.bias.requires_grad_(False)
    with only_trained(model, frozenset({"classifier.weight"})):
        assert [name for name, p in model.named_parameters() if p.requires_grad] == ["classifier.weight"]
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["classifier.bias"]
    with pytest.raises(InputError, match="no parameter to train"), only_trained(model, frozenset()):
        pass


def test_batches_in_order_and_drawn(task: TextClassification, splits: Splits) -> None:
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=None)
    bundle = tiny_bundle("bert")
    whole = [batch["row_id"] for batch in ctx.batches(bundle, part="select", batch_size=2)]
    assert torch.cat(whole).tolist() == list(splits.select["row_id"])
    assert [len(ids) for ids in whole] == [2, 2, 1]
    drawn = list(ctx.batches(bundle, count=4, batch_size=8))
    ids = torch.cat([batch["row_id"] for batch in drawn]).tolist()
    assert len(ids) == len(set(ids)) == 32
    assert set(ids) <= set(splits.train["row_id"])
    again = [batch["row_id"] for batch in ctx.batches(bundle, count=4, batch_size=8)]
    assert torch.equal(torch.cat(again), torch.tensor(ids))
    assert len(list(ctx.batches(bundle, count=99, batch_size=8))) == 12


def test_the_context_holds_no_evaluation_row(task: TextClassification, splits: Splits) -> None:
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=None)
    seen = {
        int(i)
        for part in ("train", "select")
        for batch in ctx.batches(tiny_bundle("bert"), part=part)
        for i in batch["row_id"]
    }
    assert seen.isdisjoint(splits.evaluation["row_id"])
    assert ctx.part_fingerprints == {part: splits.fingerprints[part] for part in ("train", "select")}


@pytest.mark.parametrize("model_type", sorted(set(FAMILIES) - IMAGE_FAMILIES))
def test_answers_stand_in_the_order_of_the_rows(task: TextClassification, splits: Splits, model_type: str) -> None:
    bundle = tiny_bundle(model_type)
    found = predict(bundle, task, splits.select, batch_size=2).values
    alone = np.concatenate([predict(bundle, task, splits.select.select([i])).values for i in range(len(splits.select))])
    assert found.dtype == np.float32
    assert found.shape == (len(splits.select), 2)
    assert np.allclose(found, alone, atol=1e-4)
    assert np.array_equal(found, predict(bundle, task, splits.select, batch_size=2).values)


def test_a_regression_trains(tmp_path: Path) -> None:
    rows = [{**row, "label": len(row["text"].split()) / 7} for row in tiny_rows(40)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows[:9])
    task = TextClassification(data=str(tmp_path), max_length=24)
    splits = task.load(0)
    bundle = tiny_bundle("distilbert", labels=1)
    ctx = make_context(task, splits, seed=0, device=CPU, scratch=None)
    after = Finetune(train=SHORT).run(bundle, ctx)
    assert predict(after, task, splits.evaluation).values.shape == (9, 1)
    assert -1 <= ctx.facts["select"] <= 1


def test_three_labels_train(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("test", 1)):
        write_rows(tmp_path / f"{split}.jsonl", tiny_rows(40, seed, labels=3))
    task = TextClassification(data=str(tmp_path), max_length=24, metric="f1")
    ctx = make_context(task, task.load(0), seed=0, device=CPU, scratch=None)
    Finetune(train=SHORT).run(tiny_bundle("roberta", labels=3), ctx)
    assert 0 <= ctx.facts["select"] <= 1


@pytest.mark.parametrize("method", ["p_tuning", "adalora"])
@pytest.mark.parametrize("base", ["fp32", "bf16"])
def test_what_is_taken_out_after_the_training_is_declared_with_it_alone(method: str, base: str) -> None:
    bundle = tiny_bundle("bert")
    declared = Finetune.model_validate({"method": method, "base": base}).declare(bundle.sketch(), {})
    trained, left = declared.trained(bundle.copy()), declared.applied(bundle.copy())
    assert trained.sketch().parameters > left.sketch().parameters > bundle.sketch().parameters
