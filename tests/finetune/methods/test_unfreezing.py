"""From the top down: which group joins when, at what rate, and that an interruption changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import DEFAULT_PLAN, Rate, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.methods.full import UNFREEZING_PLAN, Full
from finetune.parameters.depth import by_depth, rates_by_depth
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.checkpoints import Checkpointing
from finetune.training.fit import make_fit
from finetune.training.schedules import Pace, slanted_triangle
from tests.tiny import FAMILIES, tiny_bundle

PLAN = TrainPlan(epochs=6, batch_size=16, precision="fp32", learning_rate=1e-2, schedule="slanted_triangle", warmup=0.1)
Make = Callable[..., Context]


def test_the_slanted_triangle_of_the_paper() -> None:
    """Against equation 3, written out, where T cut_frac is whole."""
    total, cut_frac, ratio = 200, 0.1, 32
    cut = int(total * cut_frac)
    for t in range(total + 1):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        assert slanted_triangle(t, total=total, cut=cut_frac) == pytest.approx((1 + p * (ratio - 1)) / ratio)
    assert max(slanted_triangle(t, total=19, cut=0.1) for t in range(20)) == 1.0
    assert min(slanted_triangle(t, total=19, cut=0.1) for t in range(20)) == 1 / 32
    assert slanted_triangle(0, total=3, cut=0.1) == 1.0


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_is_in_one_group(name: str) -> None:
    bundle = tiny_bundle(name)
    groups = by_depth(bundle)
    names = [name for group in groups for name in group]
    assert sorted(names) == sorted(name for name, _ in bundle.model.named_parameters())
    assert len(groups) == len(bundle.family.module_list(bundle.model)) + 2
    assert any("class" in name or "score" in name for name in groups[0])
    assert any("embed" in name or "wte" in name or "shared" in name or "cls_token" in name for name in groups[-1])
    assert all(groups)


def test_the_groups_of_bert_go_from_head_to_embeddings() -> None:
    groups = by_depth(tiny_bundle("bert"))
    assert groups[0] == {
        f"{part}.{name}" for part in ("bert.pooler.dense", "classifier") for name in ("weight", "bias")
    }
    for depth, group in enumerate(groups[1:-1]):
        assert all(name.startswith(f"bert.encoder.layer.{3 - depth}.") for name in group)
    assert all(name.startswith("bert.embeddings.") for name in groups[-1])


def test_rates_fall_with_depth_and_groups_join_with_epochs() -> None:
    groups = [frozenset({letter}) for letter in "abcdef"]
    rates = rates_by_depth(groups, decay=0.5, at_once=1, plan=PLAN.over(DEFAULT_PLAN))
    assert [rates[letter].scale for letter in "abcdef"] == [0.5**depth for depth in range(6)]
    assert [rates[letter].start for letter in "abcdef"] == pytest.approx([depth / 6 for depth in range(6)])
    pairs = rates_by_depth(groups, decay=1.0, at_once=2, plan=PLAN.over(DEFAULT_PLAN))
    assert [pairs[letter].start * 6 for letter in "abcdef"] == pytest.approx([0, 0, 1, 1, 2, 2])
    steps = rates_by_depth(groups, decay=1.0, at_once=2, plan=TrainPlan(max_steps=9).over(DEFAULT_PLAN))
    assert [steps[letter].start * 3 for letter in "abcdef"] == pytest.approx([0, 0, 1, 1, 2, 2])
    together = rates_by_depth(groups, decay=0.9, at_once=None, plan=DEFAULT_PLAN)
    assert {rate.start for rate in together.values()} == {0.0}


def test_a_rate_starts_late_and_rises() -> None:
    rate = Rate(scale=0.1, start=0.5, warmup=0.2)
    assert [rate.factor(p) for p in (0.0, 0.49, 0.5, 0.6, 0.7, 1.0)] == pytest.approx([0, 0, 0, 0.5, 1, 1])
    assert [rate.joined(p) for p in (0.0, 0.49, 0.5)] == [False, False, True]


def test_the_optimiser_gets_the_rates(task: TextClassification, splits: Splits) -> None:
    seen: list[dict[str, float]] = []

    class Rates(Hook):
        trainer: Any = None

        def after_step(self, model: nn.Module, progress: float) -> None:
            names = {id(p): name for name, p in model.named_parameters()}
            groups = Rates.trainer.optimizer.param_groups
            seen.append({names[id(p)]: g["lr"] for g in groups for p in g["params"]})

    from finetune.training import trainer

    plain = trainer.HookedTrainer.create_optimizer

    def caught(self: Any, model: Any = None) -> Any:
        Rates.trainer = self
        return plain(self, model)

    bundle = tiny_bundle("bert")
    rates = {name: Rate(0.25) for name, _ in bundle.model.named_parameters() if "encoder" in name}
    trainer.HookedTrainer.create_optimizer = caught
    try:
        fit = make_fit(task, splits, seed=0, device=torch.device("cpu"))
        plan = TrainPlan(max_steps=4, learning_rate=1e-3, warmup=0.0, precision="fp32", batch_size=8)
        fit(bundle, task.objective, plan, hooks=[Rates()], rates=rates)
    finally:
        trainer.HookedTrainer.create_optimizer = plain
    assert len(seen) == 4 and set(seen[0]) == {name for name, _ in bundle.model.named_parameters()}
    for step in seen:
        assert step["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(0.25 * step["classifier.weight"])
        assert step["bert.encoder.layer.0.output.dense.bias"] == pytest.approx(0.25 * step["classifier.bias"])
    assert seen[0]["classifier.weight"] > seen[-1]["classifier.weight"]


def test_decay_and_rate_do_not_mix_up_the_groups() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    weights, biases = [model[0].weight, model[1].weight], [model[0].bias, model[1].bias]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], lr=1.0
    )
    pace = Pace({"0.weight": Rate(0.5), "0.bias": Rate(0.5)})
    pace.regroup(optimizer, model)
    found = [(g["weight_decay"], g["lr"], len(g["params"])) for g in optimizer.param_groups]
    assert found == [(0.1, 0.5, 1), (0.1, 1.0, 1), (0.0, 0.5, 1), (0.0, 1.0, 1)]
    assert pace.groups == [Rate(0.5), Rate(), Rate(0.5), Rate()]


class Watch(Hook):
    """Which groups had a gradient in each step; raises after some steps."""

    def __init__(self, groups: list[frozenset[str]], stop: int = 10**9):
        self.groups, self.stop, self.steps = groups, stop, 0
        self.moving: list[int] = []

    def before_step(self, model: nn.Module, progress: float) -> None:
        if self.steps == self.stop:
            raise KeyboardInterrupt
        self.steps += 1

    def after_backward(self, model: nn.Module, progress: float) -> None:
        with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
        self.moving.append(sum(bool(group & with_gradient) for group in self.groups))


def unfrozen(task: TextClassification, splits: Splits, stop: int = 10**9, **settings: Any) -> tuple[Bundle, Watch, Any]:
    bundle = tiny_bundle("bert")
    groups = by_depth(bundle)
    watch = Watch(groups, stop)
    rates = rates_by_depth(groups, decay=1 / 2.6, at_once=1, plan=PLAN.over(DEFAULT_PLAN))
    fit = make_fit(task, splits, seed=0, device=torch.device("cpu"), **settings)
    return bundle, watch, fit(bundle, task.objective, PLAN, hooks=[watch], rates=rates)


@pytest.mark.slow
def test_one_group_joins_at_each_epoch_and_a_kill_changes_no_bit(
    task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    whole, watch, result = unfrozen(task, splits)
    by_epoch = -(-len(splits.train) // 16)
    assert watch.moving == [epoch + 1 for epoch in range(6) for _ in range(by_epoch)]
    assert result.trained_parameters == sum(p.numel() for p in whole.model.parameters())
    settings = {"directory": tmp_path, "checkpointing": Checkpointing(seconds=0, seconds_at_epoch_end=0)}
    with pytest.raises(KeyboardInterrupt):
        unfrozen(task, splits, stop=2 * by_epoch + 3, **settings)
    resumed, _, again = unfrozen(task, splits, **settings)
    pairs = zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert again.notes == result.notes


def test_too_few_epochs_leave_the_lowest_groups(context: Make) -> None:
    bundle, ctx = tiny_bundle("bert"), context()
    before = {name: p.detach().clone() for name, p in bundle.model.named_parameters()}
    plan = TrainPlan(epochs=2, batch_size=16, precision="fp32")
    after = Finetune(method=Full(unfreezing=2), train=plan).run(bundle, ctx)
    still = {name for name, p in after.model.named_parameters() if torch.equal(p, before[name])}
    groups = by_depth(after)
    assert still == groups[4] | groups[5]
    assert ctx.facts["groups_trained"] == "4 of 6"
    assert ctx.facts["trained_parameters"] == sum(
        p.numel() for n, p in after.model.named_parameters() if n not in still
    )
    assert all(p.requires_grad for p in after.model.parameters())


def test_an_early_stop_brings_all_groups_back(context: Make, task: TextClassification, splits: Splits) -> None:
    ctx, bundle = context(), tiny_bundle("bert")
    plan = PLAN.model_copy(update={"patience": 1})
    Finetune(method=Full(unfreezing=1), train=plan).run(bundle, ctx)
    assert ctx.facts["select"] == max(ctx.facts["select_by_epoch"])


def test_layer_decay_trains_all_and_the_bottom_least(context: Make) -> None:
    bundle, ctx = tiny_bundle("bert"), context()
    before = {name: p.detach().clone() for name, p in bundle.model.named_parameters()}
    plan = TrainPlan(max_steps=2, batch_size=16, precision="fp32", warmup=0.0, weight_decay=0.0)
    after = Finetune(method=Full(layer_decay=0.1), train=plan).run(bundle, ctx)
    step = [
        max(
            float((p - before[name]).detach().abs().max())
            for name, p in after.model.named_parameters()
            if name in group
        )
        for group in by_depth(after)
    ]
    assert [above / below for above, below in pairwise(step)] == pytest.approx([10] * 5, rel=0.3)
    assert ctx.facts["groups_trained"] == "6 of 6"


def test_plain_full_fine_tuning_is_as_it_was(context: Make) -> None:
    assert Full().plan() == DEFAULT_PLAN
    assert Full(unfreezing=1).plan() == UNFREEZING_PLAN.over(DEFAULT_PLAN)
    assert Pace.of(DEFAULT_PLAN, {}) is None
    ctx = context()
    Finetune(train=TrainPlan(max_steps=1, precision="fp32")).run(tiny_bundle("bert"), ctx)
    assert "groups_trained" not in ctx.facts
