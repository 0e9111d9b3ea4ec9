"""What is predicted of a training's memory, by part, against what the parts are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from compress.core.families.bert import BERT
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from finetune.memory_prediction.estimate import PROCESS, TrainingMemory
from finetune.memory_prediction.formula import formula_peak
from finetune.memory_prediction.optimizer import optimizer_bytes
from finetune.memory_prediction.simulation import StepShape, simulated_peak
from finetune.method import Method
from tests.tiny import few, tiny_bundle, tiny_inputs

CPU = torch.device("cpu")
STEP = StepShape(4, 16, CPU)


def everything(model: nn.Module) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters())


def tuned(method: str, family: str = "bert", **config: Any) -> tuple[Bundle, frozenset[str]]:
    """A model on the meta device as the method changes it, and what it trains."""
    bundle = tiny_bundle(family, **config)
    bundle.model.to("meta")
    member = Method.parse({method: {"width": 8}} if method in ("houlsby", "pfeiffer") else method)
    bundle = bundle.changed_by(member.change(bundle.sketch()))
    return bundle, member.trainable(bundle)


def memory(bundle: Bundle, names: frozenset[str], **plan: Any) -> TrainingMemory:
    whole = TrainPlan(batch_size=4, precision="fp32", **plan).over(DEFAULT_PLAN)
    return TrainingMemory(bundle.model, bundle.family, names, whole, 16, CPU)


@pytest.mark.parametrize("family", few())
def test_a_step_of_every_family_is_simulated_without_its_weights(family: str) -> None:
    model = tiny_bundle(family).model.to("meta")
    state = torch.get_rng_state()
    moment = simulated_peak(model, everything(model), STEP)
    assert moment and moment.activations > 0
    assert all(parameter.is_meta for parameter in model.parameters()), "the model is left as it is"
    assert torch.equal(state, torch.get_rng_state())


def test_what_is_kept_is_what_autograd_keeps() -> None:
    bundle = tiny_bundle("bert")
    inputs = tiny_inputs(bundle, rows=4)
    inputs = {name: value[:, :16] for name, value in inputs.items()}
    own = {parameter.untyped_storage().data_ptr() for parameter in bundle.model.parameters()}
    kept: dict[int, int] = {}
    held = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = tensor.untyped_storage().nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        bundle.model.train()(**inputs).logits.sum()
    length = inputs["input_ids"].shape[1]
    moment = simulated_peak(bundle.model, everything(bundle.model), StepShape(4, length, CPU))
    assert moment and moment.activations == pytest.approx(sum(kept.values()), rel=0.06)  # real rows have a mask


def test_the_parts_of_full_training_are_those_of_adam() -> None:
    bundle = tiny_bundle("bert")
    found = memory(bundle, everything(bundle.model)).at()
    tables = sum(m.weight.numel() for m in bundle.model.modules() if isinstance(m, nn.Embedding))
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
    assert found.embeddings == 4 * tables
    assert found.weights == 4 * (parameters - tables) + sum(
        b.numel() * b.element_size() for b in bundle.model.buffers()
    )
    assert found.optimizer == 8 * parameters
    assert 0 <= found.gradients <= 4 * parameters
    assert found.process == PROCESS["cpu"]
    assert found.bytes == sum(found.parts().values()) == found.training + found.process


def test_gradients_are_all_there_where_batches_are_summed() -> None:
    bundle = tiny_bundle("bert")
    names = everything(bundle.model)
    once, summed = memory(bundle, names), memory(bundle, names, accumulation=2)
    assert summed.at().gradients == 4 * sum(parameter.numel() for parameter in bundle.model.parameters())
    assert summed.at().bytes > once.at().bytes
    assert once.accumulating().at() == summed.at()


def test_a_small_batch_peaks_when_the_optimiser_moves() -> None:
    bundle = tiny_bundle("bert", vocab_size=20_000)
    found = memory(bundle, everything(bundle.model)).at(1)
    assert found.gradients == 4 * sum(parameter.numel() for parameter in bundle.model.parameters())
    assert found.activations < 100


def test_what_is_frozen_keeps_no_input_for_its_own_gradient() -> None:
    """Full tuning keeps the inputs of every linear; BitFit those that something else needs, and so not much less."""
    full, few = (memory(*tuned(method)).at() for method in ("full", "bitfit"))
    assert few.optimizer < full.optimizer / 20
    assert 0.5 * full.activations < few.activations < 0.95 * full.activations


def test_recomputing_keeps_less() -> None:
    bundle, names = tuned("full")
    plain, recomputed = memory(bundle, names), memory(bundle, names, gradient_checkpointing=True)
    assert recomputed.at(16).activations < plain.at(16).activations / 3
    assert recomputed.at(16).training < plain.at(16).training


def test_autocast_keeps_less_and_converts_weights() -> None:
    model = tiny_bundle("bert").model
    plain, half = (
        simulated_peak(model, everything(model), StepShape(16, 32, CPU, bf16=bf16)) for bf16 in (False, True)
    )
    assert plain and half and half.activations < plain.activations


@pytest.mark.parametrize("storage", ["bf16", "int8", "nf4"])
def test_a_stored_base_counts_as_it_is_stored_and_is_dense_only_for_a_moment(storage: str) -> None:
    from compress.quantize.store_linears import StoreLinears

    plain, names = tuned("lora", hidden_size=64, intermediate_size=256)
    stored = tiny_bundle("bert", hidden_size=64, intermediate_size=256)
    stored.model.to("meta")
    stored = stored.changed_by(StoreLinears(storage=storage))
    stored = stored.changed_by(Method.parse("lora").change(stored.sketch()))
    before, after = memory(plain, names).at(), memory(stored, names).at()
    assert after.weights < 0.75 * before.weights
    assert after.embeddings == before.embeddings
    assert after.optimizer == before.optimizer
    assert after.temporary >= before.temporary


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer", "lora", "ia3", "prefix", "prompt", "layer_norm"])
def test_every_method_is_simulated_as_it_changes_the_model(method: str) -> None:
    found = memory(*tuned(method))
    assert found.at().activations > 0
    assert not found.by_formula
    assert found.trained_parameters > 0


@pytest.mark.slow
def test_the_largest_batch_fits_and_one_much_larger_does_not() -> None:
    found = memory(*tuned("full"))
    budget = found.at(37).bytes
    largest = found.largest_batch(budget)
    assert largest and 34 <= largest <= 37
    assert found.at(largest).bytes <= budget
    assert found.largest_batch(found.at(1).weights) == 0


@pytest.mark.slow
def test_memory_grows_by_the_same_with_every_row() -> None:
    found = memory(*tuned("lora"))
    one, two, four = (found.at(rows).bytes for rows in (8, 16, 32))
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


def test_a_cached_base_needs_no_activations_but_its_cache() -> None:
    bundle, names = tuned("head")
    cached = Method.parse("head").cached_bytes(bundle, 1000)
    assert cached == 4 * 1000 * 32
    found = TrainingMemory(bundle.model, bundle.family, names, DEFAULT_PLAN, 16, CPU, cached=cached)
    assert found.at().activations == cached
    assert found.at(8) == found.at(64)
    assert found.largest_batch(10**9) is None
    assert found.largest_batch(10**6) == 0


def test_what_needs_values_is_counted_by_a_formula() -> None:
    class Reads(nn.Module):
        def __init__(self, inner: nn.Module):
            super().__init__()
            self.inner, self.config = inner, inner.config

        def forward(self, **inputs: torch.Tensor) -> Any:
            return self.inner(**inputs) if inputs["input_ids"].sum() > 0 else None

    model = Reads(tiny_bundle("bert").model)
    names = everything(model)
    assert simulated_peak(model, names, STEP) is None
    plain = simulated_peak(model.inner, everything(model.inner), STEP)
    counted = formula_peak(model, names, STEP)
    assert plain and 0.4 < counted.activations / plain.activations < 1.6
    found = TrainingMemory(model, BERT, names, DEFAULT_PLAN, 16, CPU)
    assert found.at().bytes > found.at().process and found.by_formula


@pytest.mark.parametrize(
    ("optim", "bytes"),
    [("adamw_torch_fused", 80_000), ("adamw_bnb_8bit", 20_313), ("sgd", 0), ("lion_8bit", 10_157), ("adafactor", 800)],
)
def test_states_are_as_large_as_the_optimiser_makes_them(optim: str, bytes: int) -> None:
    assert optimizer_bytes([torch.empty(100, 100)], optim) == pytest.approx(bytes, abs=20)


def test_small_tensors_keep_their_states_in_fp32() -> None:
    assert optimizer_bytes([torch.empty(100)], "adamw_8bit") == 800
