"""The three adapter methods on every family: counts, the first answer, what moves, and the way through a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import finetune
from compress.core.checkpoint.open import quiet
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.method import Method
from finetune.methods.houlsby import Houlsby
from finetune.methods.parallel import Parallel
from finetune.methods.pfeiffer import Pfeiffer
from finetune.parameters.names import head_names, norm_names
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, tiny_bundle, tiny_logits

SHORT = TrainPlan(max_steps=3, batch_size=16, precision="fp32", learning_rate=1e-2, warmup=0.0)
METHODS: tuple[Method, ...] = (Houlsby(width=8), Pfeiffer(width=8), Parallel(width=8, placement="both"))
EVERYWHERE = [pytest.param(method, name, id=f"{method.name}-{name}") for method in METHODS for name in FAMILIES]
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ALBERT_BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}


def one(d: int, m: int) -> int:
    """Parameters of one adapter."""
    return 2 * m * d + m + d


COUNTS: list[tuple[Method, str, dict[str, Any], int]] = [
    (Houlsby(), "bert", {}, 2_379_264),
    (Houlsby(), "bert", LARGE, 2 * 24 * one(1024, 64)),
    (Houlsby(), "distilbert", {}, 2 * 6 * one(768, 64)),
    (Houlsby(), "albert", ALBERT_BASE, 2 * one(768, 64)),
    (Houlsby(), "t5", {}, 2 * 6 * one(512, 64)),
    (Houlsby(), "bart", {}, 2 * 12 * one(1024, 64)),
    (Houlsby(placement="attention", width=8), "bert", {}, 12 * one(768, 8)),
    (Pfeiffer(), "bert", {}, 894_528),
    (Pfeiffer(), "bert", LARGE, 24 * one(1024, 64)),
    (Pfeiffer(width=10), "gpt2", {}, 12 * one(768, 10)),
    (Parallel(), "bert", {}, 1_189_632),
    (Parallel(placement="both"), "vit", {}, 2_379_264),
    (Parallel(width=16), "modernbert", {}, 22 * one(768, 16)),
]
Make = Callable[..., Context]


def on_meta(model_type: str, **config: Any) -> Bundle:
    from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

    auto = AutoModelForImageClassification if model_type == "vit" else AutoModelForSequenceClassification
    with torch.device("meta"), quiet():
        return Bundle(auto.from_config(AutoConfig.for_model(model_type, **config)), None)


def state(bundle: Bundle) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}


@pytest.mark.parametrize(("method", "name", "config", "expected"), COUNTS)
def test_adapters_have_exactly_so_many_parameters(
    method: Method, name: str, config: dict[str, Any], expected: int
) -> None:
    bundle = on_meta(name, **config)
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    norms = norm_names(bundle) if method.norms else frozenset()  # type: ignore[attr-defined]
    trained = method.trainable(bundle)
    assert norms | head_names(bundle) < trained
    adapters = trained - norms - head_names(bundle)
    assert sum(bundle.model.get_parameter(path).numel() for path in adapters) == expected


def test_only_houlsby_trains_the_norms_unless_told() -> None:
    for method, expected in ((Houlsby(), True), (Houlsby(norms=False), False), (Pfeiffer(norms=True), True)):
        bundle = on_meta("bert")
        bundle = bundle.changed_by(method.change(bundle.sketch()))
        assert (norm_names(bundle) <= method.trainable(bundle)) == expected
        assert sum(bundle.model.get_parameter(path).numel() for path in norm_names(bundle)) == 38_400


@pytest.mark.parametrize(("method", "name"), EVERYWHERE)
def test_the_first_answer_is_the_bases(method: Method, name: str) -> None:
    source = tiny_bundle(name)
    expected = tiny_logits(source)
    torch.manual_seed(0)
    found = tiny_logits(source.changed_by(method.change(source.sketch())))
    assert float((found - expected).abs().max()) <= 1e-3
    assert torch.equal(found, expected) == isinstance(method, Parallel)


@pytest.mark.parametrize(("method", "name"), EVERYWHERE)
def test_what_is_trained_moves_and_all_else_stays_to_the_bit(method: Method, name: str) -> None:
    bundle = tiny_bundle(name)
    torch.manual_seed(0)
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    before, names = state(bundle), method.trainable(bundle)
    few_steps(bundle, names)
    parameters = dict(bundle.model.named_parameters())
    assert {n for n, value in parameters.items() if not torch.equal(value, before[n])} == names
    assert all(torch.equal(value, before[n]) for n, value in bundle.model.state_dict().items() if n not in parameters)


@pytest.mark.parametrize(("method", "name"), list(zip(METHODS, ("bert", "albert", "t5"))))
def test_the_stage_trains_so_and_its_delta_loads_again(
    method: Method, name: str, context: Make, tmp_path: Path
) -> None:
    ctx = context()
    after = Finetune(method=method, train=SHORT).run(tiny_bundle(name), ctx)
    assert {"adapted", "head_trained"} <= after.states
    names = method.trainable(after)
    assert ctx.facts["trained_parameters"] == sum(after.model.get_parameter(path).numel() for path in names)
    finetune.save_delta(after, tmp_path)
    assert torch.equal(tiny_logits(finetune.load(tiny_bundle(name), tmp_path)), tiny_logits(after))


def test_each_has_the_plan_of_its_paper() -> None:
    plans = {method.name: Finetune(method=method).plan() for method in METHODS}
    assert {name: plan.learning_rate for name, plan in plans.items()} == {
        "houlsby": 3e-4,
        "pfeiffer": 1e-4,
        "parallel": 1e-4,
    }
    assert plans["houlsby"].warmup == 0.1 and plans["parallel"].weight_decay == 0.1
    assert all(plan.schedule == "linear" for plan in plans.values())


def test_recipe_forms() -> None:
    read: Any = Finetune.model_validate({"method": {"houlsby": {"width": 8, "placement": "ffn", "norms": False}}})
    assert read.method == Houlsby(width=8, placement="ffn", norms=False)
    assert Finetune(method=Parallel(scaling=2)).dump() == {"method": {"parallel": {"scaling": 2.0}}}
    assert Method.parse("pfeiffer") == Pfeiffer()
