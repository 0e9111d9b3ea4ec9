"""Every method on every tiny text family: what moves, what stays, and what it answers before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compress.core.checkpoint.architecture import is_stock
from compress.core.checkpoint.save import load, save
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.method import Method
from finetune.methods.bitfit import Bitfit
from finetune.methods.head import Head
from finetune.methods.layer_norm import LayerNorm
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_logits
from tests.tiny.stages import refused

SHORT = TrainPlan(max_steps=3, batch_size=16, precision="fp32", learning_rate=1e-2, warmup=0.0)
TEXT = sorted(set(FAMILIES) - IMAGE_FAMILIES)
METHODS: tuple[Method, ...] = (Bitfit(), LayerNorm(), Head())
WORKING = [pytest.param(method, name, id=f"{method.name}-{name}") for method in METHODS for name in TEXT]
Make = Callable[..., Context]


def state(bundle: Bundle) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}


@pytest.mark.parametrize(("method", "name"), WORKING)
def test_what_is_trained_moves_and_all_else_stays_to_the_bit(method: Method, name: str) -> None:
    bundle = tiny_bundle(name)
    bundle = method.change(bundle.sketch()).apply(bundle)
    before, names = state(bundle), method.trainable(bundle)
    few_steps(bundle, names)
    parameters = dict(bundle.model.named_parameters())
    assert {n for n, value in parameters.items() if not torch.equal(value, before[n])} == names
    assert all(torch.equal(value, before[n]) for n, value in bundle.model.state_dict().items() if n not in parameters)
    if not (isinstance(method, Bitfit) and bundle.family.bare_linears):
        assert is_stock(bundle.model, bundle.family)


@pytest.mark.parametrize(("method", "name"), [(Bitfit(), "modernbert"), (LayerNorm(), "bart"), (Head(), "gpt2")])
def test_the_stage_trains_so_and_what_it_saves_loads_again(
    method: Method, name: str, context: Make, tmp_path: Path
) -> None:
    source = tiny_bundle(name)
    prepared = method.change(source.sketch()).apply(source.copy())
    before, names = state(prepared), method.trainable(prepared)
    ctx = context()
    after = Finetune(method=method, train=SHORT).run(source, ctx)
    parameters = dict(after.model.named_parameters())
    assert {n for n, value in parameters.items() if not torch.equal(value, before[n])} == names
    assert ctx.facts["trained_parameters"] == sum(parameters[n].numel() for n in names)
    assert "head_trained" in after.states
    assert torch.equal(tiny_logits(load(save(after, tmp_path))), tiny_logits(after))


@pytest.mark.parametrize("name", FAMILIES)
def test_before_the_first_step_bitfit_answers_as_its_base(name: str) -> None:
    source = tiny_bundle(name)
    expected = tiny_logits(source)
    change = Bitfit().change(source.sketch())
    found = tiny_logits(source.changed_by(change))
    if source.family.bias_fields:
        # A linear with a bias runs another kernel than one without.
        assert torch.allclose(found, expected, atol=1e-5)
        assert dict(source.model.named_parameters())["model.layers.1.attn.Wqkv.bias"].abs().sum() == 0
    else:
        assert torch.equal(found, expected)


def test_added_biases_load_again_also_on_a_cut_model(tmp_path: Path) -> None:
    from compress.core.surgery.heads_and_neurons import keep_neurons, neuron_counts

    bundle = tiny_bundle("modernbert")
    counts = neuron_counts(bundle.model, bundle.family)
    keep_neurons(bundle.model, bundle.family, tuple(tuple(range(2 + number)) for number, _ in enumerate(counts)))
    bundle = bundle.changed_by(Bitfit().change(bundle.sketch()))
    again = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(again), tiny_logits(bundle))
    assert [change.kind for change in again.changes] == ["add_biases"]


@pytest.mark.parametrize(
    ("method", "name", "reason"),
    [
        (Bitfit(biases="query_and_up"), "gpt2", "lie in one linear"),
        (Bitfit(biases="query_and_up"), "modernbert", "lie in one linear"),
        (Bitfit(biases="query_and_up"), "deberta", "lie in one linear"),
    ],
)
def test_refusals_say_why(method: Method, name: str, reason: str) -> None:
    assert reason in str(refused(Finetune(method=method), tiny_bundle(name).sketch()))


@pytest.mark.parametrize("name", ["bert", "distilbert", "mpnet", "bart"])
def test_the_smaller_set_lies_in_every_block(name: str, context: Make) -> None:
    bundle = tiny_bundle(name)
    method = Bitfit(biases="query_and_up")
    names = method.trainable(bundle)
    assert sum(p.numel() for n, p in bundle.model.named_parameters() if n in names and "classif" not in n) == 4 * 80
    assert method.refuses(bundle.sketch()) is None


def test_each_method_has_a_plan_of_its_own() -> None:
    rates = {method.name: Finetune(method=method).plan().learning_rate for method in METHODS}
    assert rates == {"bitfit": 1e-3, "layer_norm": 1e-3, "head": 1e-3}
    assert Finetune(method=Bitfit()).plan().weight_decay == 0.0
    assert Finetune(method=Bitfit(), train=TrainPlan(epochs=1)).plan().epochs == 1


def test_a_list_of_rates_is_tried_on_select_and_taken_up(context: Make, tmp_path: Path) -> None:
    stage = Finetune(method=Bitfit(), train=SHORT, learning_rates=(1e-9, 3e-2))
    ctx = context(tmp_path)
    tuned = stage.run(tiny_bundle("bert"), ctx)
    tried: dict[str, float] = ctx.facts["select_by_learning_rate"]
    assert list(tried) == ["1e-09", "0.03"]
    assert ctx.facts["select"] == max(tried.values()) == tried[f"{ctx.facts['learning_rate']:g}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finetune-0.03", "finetune-1e-09"]
    alone_plan = SHORT.model_copy(update={"learning_rate": ctx.facts["learning_rate"]})
    alone = Finetune(method=Bitfit(), train=alone_plan).run(tiny_bundle("bert"), context())
    assert torch.equal(tiny_logits(tuned), tiny_logits(alone))
    again = context(tmp_path)
    assert torch.equal(tiny_logits(stage.run(tiny_bundle("bert"), again)), tiny_logits(tuned))


def test_recipe_forms() -> None:
    read: Any = Finetune.model_validate({"method": {"full": {"unfreezing": 2}}, "learning_rates": [1e-3]})
    assert read.method.unfreezing == 2 and read.learning_rates == (1e-3,)
    assert Finetune.model_validate({"method": "layer_norm"}).dump() == {"method": "layer_norm"}
    assert Finetune.model_validate({"method": {"bitfit": {"biases": "query_and_up"}}}).method == Bitfit(
        biases="query_and_up"
    )
