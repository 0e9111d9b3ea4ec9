"""Fits on bases in fewer bits: evaluated in between, taken up again, and on a GPU with less memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.low_bit import dense_weight, storage_of, stored_linears
from compress.core.stage.context import Context
from compress.quantize.store_linears import StoreLinears, to_dense
from finetune.context import make_context
from finetune.method import Method
from finetune.methods.bitfit import Bitfit
from finetune.methods.lora import Lora
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.tiny import tiny_bundle, tiny_inputs
from tests.tiny.stages import predicted

STORAGES = ("bf16", "int8", "nf4", "fp4")
# A long look at select after each epoch.
EVALUATED = TrainPlan(epochs=3, batch_size=32, learning_rate=1e-2, warmup=0.0, patience=3)
Make = Callable[[Path | None], Context]


def answers(bundle: Bundle) -> Tensor:
    with torch.inference_mode():
        return bundle.model.eval()(**{name: x.to(bundle.device) for name, x in tiny_inputs(bundle).items()}).logits


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("base", STORAGES)
def test_the_lowest_biases_move_after_every_evaluation(base: str, precision: str, context: Make) -> None:
    source = tiny_bundle("bert")
    stored = predicted(Finetune(method=Bitfit(), base=base), source.copy())
    before = {name: tensor.clone() for name, tensor in stored.model.state_dict().items()}
    ctx = context(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plan = EVALUATED.model_copy(update={"precision": precision})
        after = Finetune(method=Bitfit(), base=base, train=plan).run(source, ctx)
    moved = {name for name, tensor in after.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == Bitfit().trainable(after)
    assert {after.model.get_parameter(name).dtype for name in moved} == {torch.float32}
    assert "bert.encoder.layer.0.attention.self.query.bias" in moved
    assert len(ctx.facts["select_by_epoch"]) == 3 and storage_of(after.model) == base


@pytest.mark.parametrize("base", ["bf16", "int8", "nf4"])
def test_a_finished_fit_is_taken_up_again(base: str, context: Make, tmp_path: Path) -> None:
    plan = TrainPlan(max_steps=3, batch_size=16, learning_rate=1e-2)
    stage = Finetune(method=Bitfit(), base=base, train=plan)
    first = stage.run(tiny_bundle("gpt2"), context(tmp_path))
    again = stage.run(tiny_bundle("gpt2"), context(tmp_path))
    assert torch.equal(answers(again), answers(first))
    assert stored_linears(again.model)["transformer.h.0.attn.c_attn"].transposed


@pytest.mark.parametrize("base", STORAGES)
def test_what_was_pruned_before_stays_pruned(base: str, context: Make) -> None:
    source, path = tiny_bundle("bert"), "bert.encoder.layer.0.output.dense"
    weight = source.model.get_submodule(path).weight
    source.masks = {f"{path}.weight": torch.rand(weight.shape, generator=torch.manual_seed(0)) > 0.5}
    weight.data.mul_(source.masks[f"{path}.weight"])
    after = Finetune(method=Bitfit(), base=base, train=TrainPlan(max_steps=2, batch_size=16)).run(source, context(None))
    dense = to_dense(after)
    assert bool((dense_weight(dense.model.get_submodule(path))[~dense.masks[f"{path}.weight"]] == 0).all())


@pytest.mark.parametrize("base", ["int8", "nf4"])
def test_activations_may_be_recomputed(base: str, context: Make) -> None:
    plan = TrainPlan(max_steps=2, batch_size=16, learning_rate=1e-2, precision="fp32", gradient_checkpointing=True)
    kept = plan.model_copy(update={"gradient_checkpointing": False})
    found = [
        answers(Finetune(method=Bitfit(), base=base, train=each).run(tiny_bundle("bert"), context(None)))
        for each in (plan, kept)
    ]
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", [Bitfit(), Lora()], ids=lambda method: method.name)
def test_a_gpu_trains_stored_bases_in_less_memory(method: Method, task: TextClassification, splits: Splits) -> None:
    device = torch.device("cuda")
    plan = TrainPlan(max_steps=4, batch_size=8, learning_rate=1e-3)
    wide = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    peaks = {}
    for base in ("fp32", "bf16", "int8", "nf4"):
        source = tiny_bundle("bert", **wide)
        stored = predicted(Finetune(method=method, base=base), source.copy())
        before = {name: tensor.clone() for name, tensor in stored.model.state_dict().items()}
        torch.cuda.reset_peak_memory_stats(device)
        ctx = make_context(task, splits, seed=0, device=device, scratch=None)
        after = Finetune(method=method, base=base, train=plan).run(source, ctx)
        peaks[base] = torch.cuda.max_memory_allocated(device)
        names = method.trainable(after)
        assert all(torch.equal(t.cpu(), before[n]) for n, t in after.model.state_dict().items() if n not in names)
        assert any(not torch.equal(after.model.get_parameter(n).cpu(), before[n]) for n in names if "layer.0" in n)
        assert torch.isfinite(answers(after)).all()
        del after
        torch.cuda.empty_cache()
    assert peaks["nf4"] < peaks["int8"] < peaks["bf16"] < peaks["fp32"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("base", STORAGES)
def test_a_stored_model_moves_between_devices(base: str) -> None:
    bundle = tiny_bundle("bert").changed_by(StoreLinears(storage=base))
    there_first = tiny_bundle("bert").to("cuda").changed_by(StoreLinears(storage=base))
    expected, weights = answers(bundle), [dense_weight(m) for m in stored_linears(bundle.model).values()]
    bundle = bundle.to("cuda")
    on_gpu = answers(bundle)
    assert torch.allclose(on_gpu.cpu(), expected, atol=0.05 if base == "int8" else 1e-4)
    assert torch.equal(answers(there_first), on_gpu)
    for linear, weight in zip(stored_linears(bundle.model).values(), weights, strict=True):
        assert torch.allclose(dense_weight(linear).cpu(), weight, rtol=1e-6, atol=0)
    assert torch.equal(answers(bundle.copy()), on_gpu)
    assert torch.equal(answers(bundle.to("cpu")), expected)
