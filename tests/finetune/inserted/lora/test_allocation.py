"""AdaLoRA's allocation: the pure functions, PEFT's allocator beside ours, and a fit that really takes rank away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.inserted.lora.allocation import Allocation, Orthogonal, budget, keep_largest, orthogonality, triplet
from finetune.inserted.lora.insertion import inserted_layers
from finetune.methods.adalora import Adalora
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.fit import make_fit
from tests.finetune.fits import EVERY_STEP, Interrupted, StopAfter, same_bits
from tests.finetune.inserted.lora.test_insertion import logits, put_in
from tests.tiny import tiny_bundle, tiny_inputs

STEPS = 20
METHOD = Adalora(rank=2, initial_rank=4, tinit=0.2, tfinal=0.3, interval=2)
PLAN = TrainPlan(max_steps=STEPS, batch_size=8, precision="fp32", learning_rate=1e-2)
Make = Callable[..., Context]


def allocation(model: nn.Module) -> Allocation:
    return Allocation(model, target_rank=2, tinit=0.2, tfinal=0.3, interval=2, beta1=0.85, beta2=0.85)


def test_the_budget_falls_with_the_cube_of_what_is_left() -> None:
    given = {"start": 96, "end": 64, "tinit": 0.2, "tfinal": 0.3}
    assert [budget(p, **given) for p in (0.0, 0.2, 0.7, 0.8, 1.0)] == [96, 96, 64, 64, 64]
    assert budget(0.45, **given) == 64 + 32 // 8
    falling = [budget(step / 100, **given) for step in range(101)]
    assert falling == sorted(falling, reverse=True)


def test_exactly_as_many_are_kept_and_of_equals_the_first() -> None:
    scores = {"a": torch.tensor([3.0, 0.0, 1.0]), "b": torch.tensor([0.0, 2.0])}
    kept = keep_largest(scores, 3)
    assert kept["a"].tolist() == [True, False, True] and kept["b"].tolist() == [False, True]
    assert keep_largest(scores, 4)["a"].tolist() == [True, True, True]
    assert sum(int(mask.sum()) for mask in keep_largest({"a": torch.zeros(5)}, 2).values()) == 2


def test_orthogonal_rows_and_columns_cost_nothing() -> None:
    eye = torch.eye(6)
    assert orthogonality([(eye[:3], torch.zeros(3, 1), eye[:, :3])]) == 0
    assert orthogonality([(2 * eye[:3], torch.zeros(3, 1), eye[:, :3])]) == pytest.approx(0.5 * 3 * 3**0.5)


def reference(bundle: Bundle) -> Any:
    """PEFT's own allocator over the same layers, with the same schedule."""
    from peft.tuners.adalora import RankAllocator

    settings = SimpleNamespace(
        beta1=0.85, beta2=0.85, target_r=2, tinit=int(0.2 * STEPS), tfinal=int(0.3 * STEPS), total_step=STEPS, deltaT=2
    )
    return RankAllocator(bundle.model, settings, "default")


def test_ours_decides_as_pefts_does() -> None:
    bundle, _ = put_in(METHOD, tiny_bundle("bert"))
    twin = bundle.copy()
    ours, theirs = allocation(bundle.model), reference(twin)
    pattern: dict[str, list[bool]] = {}
    for step in range(1, STEPS + 1):
        for b in (bundle, twin):
            b.model.zero_grad()
            b.model(**tiny_inputs(b, seed=step)).logits.square().sum().backward()
        ours.after_backward(bundle.model, (step - 1) / STEPS)
        if step <= STEPS - theirs.peft_config.tfinal:
            theirs.update_ipt(twin.model)  # before the step, as in the paper; PEFT's callers do it after
        for b in (bundle, twin):
            torch.optim.SGD([p for n, p in b.model.named_parameters() if "lora_" in n], lr=0.05).step()
        ours.after_step(bundle.model, step / STEPS)
        count, masked = theirs.budget_schedule(step)
        if masked and step <= STEPS - theirs.peft_config.tfinal:
            pattern = theirs.mask_to_budget(twin.model, count)
        elif step > STEPS - theirs.peft_config.tfinal:
            theirs.mask_using_rank_pattern(twin.model, pattern)
        assert same_bits(bundle.model, twin.model)
    assert sum(sum(kept) for kept in pattern.values()) == 2 * 24


def test_a_fit_leaves_the_asked_rank_and_the_report_has_it(make_context_: Make) -> None:
    ctx, bundle = make_context_(), tiny_bundle("bert")
    after = Finetune(method=METHOD, train=PLAN).run(bundle, ctx)
    ranks = ctx.facts["ranks"]
    assert ctx.facts["mean_rank"] == 2 and sum(ranks.values()) == 2 * 24 and len(set(ranks.values())) > 1
    layers = inserted_layers(after.model)
    assert {path: len(triplet(layer)[1]) for path, layer in layers.items()} == ranks
    assert all((triplet(layer)[1] != 0).all() for layer in layers.values())
    insertion = after.changes[-1]
    assert dict(insertion.ranks) == ranks
    again = insertion.apply(tiny_bundle("bert"))
    again.model.load_state_dict(after.model.state_dict())
    assert torch.equal(logits(again), logits(after))
    before = logits(after)
    insertion.merge(after)
    torch.testing.assert_close(logits(after), before, atol=1e-5, rtol=1e-5)


def fitted(task: TextClassification, splits: Splits, *hooks: Any, **settings: Any) -> Bundle:
    bundle, _ = put_in(METHOD, tiny_bundle("bert"))
    fit = make_fit(task, splits, seed=0, device=torch.device("cpu"), **settings)
    objective = Orthogonal(task.objective, bundle.model, weight=0.1)
    fit(bundle, objective, PLAN, hooks=[*hooks, allocation(bundle.model)])
    return bundle


@pytest.mark.slow
@pytest.mark.parametrize("stop", [8, 17])
def test_a_kill_changes_no_bit(task: TextClassification, splits: Splits, tmp_path: Path, stop: int) -> None:
    whole = fitted(task, splits, StopAfter(10**9))
    settings = {"directory": tmp_path, "checkpointing": EVERY_STEP}
    with pytest.raises(Interrupted):
        fitted(task, splits, StopAfter(stop), **settings)
    assert same_bits(whole.model, fitted(task, splits, StopAfter(10**9), **settings).model)


def test_the_penalty_is_added_to_the_objective(task: TextClassification) -> None:
    bundle, _ = put_in(METHOD, tiny_bundle("bert"))
    batch = {**tiny_inputs(bundle, rows=4), "labels": torch.tensor([0, 1, 0, 1]), "row_id": torch.arange(4)}
    plain = task.objective(bundle.model, batch)
    total = Orthogonal(task.objective, bundle.model, weight=0.1)(bundle.model, batch)
    away = orthogonality([triplet(layer) for layer in inserted_layers(bundle.model).values()])
    torch.testing.assert_close(total, plain + 0.1 * away)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"tinit": 0.6}, "leave no steps"), ({"rank": 12}, "initial_rank must be above rank, 12")],
)
def test_settings_that_leave_nothing_to_allocate(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Adalora(**settings)


@pytest.fixture
def make_context_(task: TextClassification, splits: Splits) -> Make:
    from finetune.context import make_context

    return lambda: make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=None)
