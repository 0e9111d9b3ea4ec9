"""The one way to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compress.core.errors import InputError, NonFiniteLoss
from compress.core.families.bert import BERT
from compress.core.families.family import family_of
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.precision import autocast, bf16_supported
from finetune.context import select_score
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.arguments import training_arguments, uses_bf16
from finetune.training.fit import make_fit
from finetune.training.hooks import CHECK_EVERY, Seen
from tests.finetune.fits import CPU, ONE_EPOCH, PLAN, Sums, fitted, same_bits
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs


def test_training_lowers_the_loss_and_says_what_it_did(task: TextClassification, splits: Splits) -> None:
    bundle, result = fitted(task, splits, PLAN.model_copy(update={"epochs": 6.0, "learning_rate": 5e-3}))
    steps = 6 * -(-len(splits.train) // 8)
    assert result.steps == steps
    assert result.loss < 0.6 * result.losses[0] and result.loss == result.losses[-1]
    assert result.trained_parameters == sum(p.numel() for p in bundle.model.parameters())
    assert result.notes["training_flops"] > 6 * result.notes["tokens"] * 1000
    assert not bundle.model.training


def test_one_seed_gives_the_same_bits(task: TextClassification, splits: Splits) -> None:
    (one, _), (other, _) = fitted(task, splits), fitted(task, splits)
    assert same_bits(one.model, other.model)


def test_a_loss_that_is_not_finite_stops_with_step_rows_and_rate(task: TextClassification, splits: Splits) -> None:
    seen: list[list[int]] = []

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        seen.append(batch["row_id"].tolist())
        loss = task.objective(model, batch)
        return loss * float("nan") if len(seen) == 3 else loss

    with pytest.raises(NonFiniteLoss) as caught:
        make_fit(task, splits, seed=0, device=CPU)(tiny_bundle("bert"), objective, ONE_EPOCH)
    assert "the loss became nan in step 3 at a learning rate of" in str(caught.value)
    assert ", ".join(map(str, seen[2])) in str(caught.value)
    assert len(seen) == 3


def test_losses_of_a_gpu_are_looked_at_together() -> None:
    seen = Seen("fit", at_once=False)
    for step in range(CHECK_EVERY):
        loss = torch.tensor(float("inf") if step == 7 else 1.0)
        seen.add_batch(loss, torch.tensor([step]), rows=1, length=1)
        if step == CHECK_EVERY - 1:
            with pytest.raises(NonFiniteLoss, match=r"in step 8 .* row ids of the batch: 7"):
                seen.add_step(0.1)
        else:
            seen.add_step(0.1)


def test_masks_are_held_and_masked_gradients_count_nowhere(task: TextClassification, splits: Splits) -> None:
    bundle = tiny_bundle("bert")
    path = "bert.encoder.layer.1.output.dense.weight"
    weight = bundle.model.get_parameter(path)
    mask = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    bundle.masks = {path: mask}
    before = weight.detach().clone()
    make_fit(task, splits, seed=0, device=CPU)(bundle, task.objective, ONE_EPOCH)
    assert torch.all(weight[~mask] == 0)
    assert torch.all(weight[mask] != before[mask])


def test_what_is_frozen_stays_to_the_bit(task: TextClassification, splits: Splits) -> None:
    bundle = tiny_bundle("bert")
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    for name, parameter in bundle.model.named_parameters():
        parameter.requires_grad_("classifier" in name)
    result = make_fit(task, splits, seed=0, device=CPU)(bundle, task.objective, ONE_EPOCH)
    moved = {name for name, tensor in bundle.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"classifier.weight", "classifier.bias"}
    assert result.trained_parameters == 66


def test_hooks_see_unclipped_gradients_and_every_step_once(task: TextClassification, splits: Splits) -> None:
    calls: list[tuple[str, float]] = []

    class Norms(Hook):
        def before_step(self, model: nn.Module, progress: float) -> None:
            calls.append(("before", progress))

        def after_backward(self, model: nn.Module, progress: float) -> None:
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            calls.append(("norm", float(norm)))

        def after_step(self, model: nn.Module, progress: float) -> None:
            calls.append(("after", progress))

    plan = ONE_EPOCH.model_copy(update={"clip": 1e-3, "accumulation": 2, "max_steps": 4})
    fitted(task, splits, plan, hooks=[Norms()])
    assert [kind for kind, _ in calls] == ["before", "norm", "after"] * 4
    assert min(value for kind, value in calls if kind == "norm") > 1e-2
    assert [value for kind, value in calls if kind == "before"] == [0, 0.25, 0.5, 0.75]
    assert [value for kind, value in calls if kind == "after"] == [0.25, 0.5, 0.75, 1]


def test_accumulated_batches_are_one_large_batch(task: TextClassification, splits: Splits) -> None:
    gradients = []
    for size, accumulation in ((16, 1), (8, 2)):
        rows = splits.train.select(range(16))
        part = Splits(rows, splits.select, splits.evaluation)
        plan = TrainPlan(max_steps=1, batch_size=size, accumulation=accumulation, precision="fp32", warmup=0.0)
        catch = Sums()
        bundle = tiny_bundle("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        result = make_fit(task, part, seed=0, device=CPU)(bundle, task.objective, plan, hooks=[catch])
        gradients.append((float(catch.total), result.loss))
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-4)


def test_an_early_stop_brings_the_best_weights_back(task: TextClassification, splits: Splits) -> None:
    plan = PLAN.model_copy(update={"epochs": 9.0, "patience": 2, "learning_rate": 3e-3})
    bundle, result = fitted(task, splits, plan)
    scores = result.notes["select_by_epoch"]
    best = result.notes["best_epoch"]
    assert scores[best - 1] == max(scores)
    assert select_score(bundle, task, splits) == max(scores)
    assert len(scores) == 9 or len(scores) - best == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_comes_back_as_it_was_but_for_its_weights(
    task: TextClassification, splits: Splits, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.training.arguments.bf16_supported", lambda device: True)
    bundle = tiny_bundle("bert")
    attributes, config = set(vars(bundle.model)), bundle.config.to_dict()
    types = []

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        linear = model.bert.encoder.layer[0].output.dense
        handle = linear.register_forward_hook(lambda _, __, output: types.append(output.dtype))
        loss = task.objective(model, batch)
        handle.remove()
        return loss

    plan = TrainPlan(max_steps=2, batch_size=8, precision=precision, gradient_checkpointing=True)
    make_fit(task, splits, seed=0, device=CPU)(bundle, objective, plan)
    assert set(types) == {torch.float32 if precision == "fp32" else torch.bfloat16}
    assert set(vars(bundle.model)) == attributes
    assert bundle.config.to_dict() == config
    assert all(p.dtype == torch.float32 and p.grad is None for p in bundle.model.parameters())
    with torch.no_grad():
        again = bundle.copy().model(input_ids=torch.tensor([[3, 4, 5]])).logits
        assert torch.equal(again, bundle.model(input_ids=torch.tensor([[3, 4, 5]])).logits)


def test_random_numbers_go_on_as_if_nothing_had_been_drawn(task: TextClassification, splits: Splits) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(task, splits, TrainPlan(max_steps=1, precision="fp32"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adam_bta2": 0.9}, "unknown training argument 'adam_bta2'; did you mean 'adam_beta2'"),
        ({"output_dir": "x"}, "the stage's own directory"),
        ({"bf16": True}, "write `precision: bf16`"),
        ({"adam_beta2": "x"}, "'adam_beta2' has a value of another type; transformers takes float"),
        ({"adam_epsilon": None}, "'adam_epsilon' has a value of another type"),
        ({"dataloader_num_workers": "two"}, "transformers takes int"),
        ({"lr_scheduler_kwargs": [1]}, "transformers takes dict"),
        ({"adam_beta1": 10**400}, "another type"),
    ],
)
def test_wrong_training_arguments_are_found_when_the_plan_is_read(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainPlan(arguments=arguments)


@pytest.mark.parametrize("plan", [{"epochs": 1e308}, {"max_steps": 10**30}, {"batch_size": 10**400}])
def test_numbers_that_no_training_can_have_are_found_when_the_plan_is_read(plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="less than"):
        TrainPlan(**plan)


@pytest.mark.parametrize(
    "arguments", [{"adam_beta2": 2.0}, {"dataloader_num_workers": -1}, {"optim_args": "a"}, {"optim": "no-such"}]
)
def test_values_that_the_optimizer_or_the_loader_refuses_are_found_before_any_work(arguments: dict[str, Any]) -> None:
    plan = TrainPlan(arguments=arguments).over(DEFAULT_PLAN)
    with pytest.raises(InputError, match="the training arguments cannot be used"):
        training_arguments(plan, BERT, rows=1, seed=0, device=CPU, output=Path("unused"))


def test_training_arguments_reach_the_trainer() -> None:
    plan = TrainPlan(arguments={"adam_beta2": 0.5}, warmup=0.1, epochs=2).over(DEFAULT_PLAN)
    found = training_arguments(plan, BERT, rows=100, seed=3, device=CPU, output=Path("unused"))
    assert (found.adam_beta2, found.seed, found.learning_rate, found.warmup_steps) == (0.5, 3, 5e-5, 1)
    assert plan.steps(rows=100) == 8


def test_bf16_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.training.arguments.bf16_supported", lambda device: False)
    assert not uses_bf16(TrainPlan(precision="auto"), CPU, BERT)
    with pytest.raises(InputError, match="computes no bf16"):
        uses_bf16(TrainPlan(precision="bf16"), CPU, BERT)


def test_a_family_that_bf16_breaks_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.training.arguments.bf16_supported", lambda device: True)
    assert uses_bf16(TrainPlan(precision="auto"), CPU, BERT)
    assert not uses_bf16(TrainPlan(precision="auto"), CPU, family_of("deberta"))
    with pytest.raises(InputError, match="deberta model computes no bf16"):
        uses_bf16(TrainPlan(precision="bf16"), CPU, family_of("deberta"))


@pytest.mark.skipif(not bf16_supported(CPU), reason="needs a CPU that computes bf16")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_in_the_precision_that_is_chosen_for_it(family: str) -> None:
    bundle = tiny_bundle(family)
    with autocast(CPU, "auto", bundle.family), torch.no_grad():
        assert bundle.model(**tiny_inputs(bundle)).logits.isfinite().all()


def test_a_bar_shows_steps_and_loss_on_a_terminal_only(
    task: TextClassification, splits: Splits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(task, splits, ONE_EPOCH, progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("finetune.training.progress.bar_wanted", lambda progress: progress)
    monkeypatch.setenv("FORCE_COLOR", "1")
    fitted(task, splits, ONE_EPOCH, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "12/12" in shown.err or "loss" in shown.err
