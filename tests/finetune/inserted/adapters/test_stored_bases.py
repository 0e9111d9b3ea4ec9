"""Adapters and added biases on bases in fewer bits: trained in fp32, on after an evaluation, and loaded again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import finetune
from compress.core.fit.plan import TrainPlan
from compress.core.stage.context import Context
from finetune.method import Method
from finetune.methods.bitfit import Bitfit
from finetune.methods.houlsby import Houlsby
from finetune.methods.parallel import Parallel
from finetune.methods.pfeiffer import Pfeiffer
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.tiny import tiny_bundle, tiny_logits
from tests.tiny.stages import declared

SHORT = TrainPlan(max_steps=3, batch_size=16, precision="fp32", learning_rate=1e-2, warmup=0.0)
CASES: list[tuple[Method, str]] = [
    (Houlsby(width=8), "bert"),
    (Houlsby(width=8), "gpt2"),
    (Pfeiffer(width=8), "distilbert"),
    (Parallel(width=8, placement="both"), "modernbert"),
    (Parallel(width=8), "t5"),
    (Bitfit(), "t5"),
    (Bitfit(), "modernbert"),
]
Make = Callable[..., Context]


@pytest.mark.parametrize("base", ["bf16", "int8", "nf4"])
@pytest.mark.parametrize(("method", "name"), CASES, ids=lambda value: getattr(value, "name", value))
def test_what_is_trained_is_fp32_and_moves_after_an_evaluation_too(method: Method, name: str, base: str) -> None:
    bundle = tiny_bundle(name)
    torch.manual_seed(0)
    bundle = bundle.changed_by(declared(Finetune(method=method, base=base), bundle.sketch()).change)
    names = method.trainable(bundle)
    assert {bundle.model.get_parameter(path).dtype for path in names} == {torch.float32}
    tiny_logits(bundle)
    before = {path: tensor.clone() for path, tensor in bundle.model.state_dict().items()}
    few_steps(bundle, names)
    moved = {path for path, tensor in bundle.model.state_dict().items() if not torch.equal(tensor, before[path])}
    assert moved == names


@pytest.mark.parametrize(("method", "name"), [CASES[0], CASES[5]], ids=lambda value: getattr(value, "name", value))
def test_the_delta_of_a_stored_base_loads_again(method: Method, name: str, context: Make, tmp_path: Path) -> None:
    after = Finetune(method=method, base="nf4", train=SHORT).run(tiny_bundle(name), context())
    finetune.save_delta(after, tmp_path)
    assert torch.equal(tiny_logits(finetune.load(tiny_bundle(name), tmp_path)), tiny_logits(after))
