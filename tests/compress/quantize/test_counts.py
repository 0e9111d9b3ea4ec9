"""What is counted of a stored model, with and without weights: parameters, bytes, operations."""

from __future__ import annotations

import copy

import pytest
import torch

from compress.core.checkpoint.save import save
from compress.core.model.bundle import Bundle
from compress.core.model.low_bit import nonzero_count, parameter_count, storage_of, stored
from compress.quantize.store_linears import StoreLinears, to_dense
from finetune.training.flops import grid
from recipes.measure.size import counts
from recipes.plan.flops import forward_flops
from recipes.plan.predict import weight_bytes
from recipes.plan.tree import _on_meta
from tests.compress.quantize.given import STORAGES, stored_bundle
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs, tiny_logits

BERT_BASE = 109_483_778
BLOCKS = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
LINEARS = 72
TABLES = LINEARS * 4 * (16 + 256)
SCALES = {
    "bf16": 2 * BLOCKS,
    "int8": BLOCKS + 4 * 12 * (4 * 768 + 3072 + 768),
    # Two codes in a byte, a byte for each 64, four for each 256 of these, and the tables.
    "nf4": BLOCKS // 2 + BLOCKS // 64 + 4 * BLOCKS // (64 * 256) + TABLES,
    "fp4": BLOCKS // 2 + BLOCKS // 64 + 4 * BLOCKS // (64 * 256) + TABLES,
}


def on_meta(name: str) -> Bundle:
    bundle = tiny_bundle(name)
    with torch.device("meta"):
        return Bundle(type(bundle.model)(copy.deepcopy(bundle.config)), None)


@pytest.mark.parametrize("storage", STORAGES)
def test_bert_base_to_the_byte(storage):
    from transformers import BertConfig, BertForSequenceClassification

    with torch.device("meta"):
        bundle = Bundle(BertForSequenceClassification(BertConfig()), None)
    assert bundle.sketch().parameters == BERT_BASE
    sketch = bundle.changed_by(StoreLinears(storage=storage)).sketch()
    assert sketch.parameters == BERT_BASE
    assert sketch.bytes == 4 * (BERT_BASE - BLOCKS) + SCALES[storage]
    assert sketch.states == {"quantized"} and len(sketch.neurons) == 12 and sketch.neurons[0] == 3072
    if storage == "nf4":
        bundle = to_dense(bundle)
        assert bundle.sketch().bytes == 4 * BERT_BASE


@pytest.mark.parametrize(
    ("name", "storage"), [*((name, "nf4") for name in FAMILIES), ("gpt2", "bf16"), ("gpt2", "int8")]
)
def test_without_weights_it_is_counted_as_with_them(name, storage):
    real, empty = stored_bundle(name, storage), on_meta(name).changed_by(StoreLinears(storage=storage))
    assert empty.sketch() == real.sketch() == _on_meta(real).sketch()
    assert weight_bytes(empty.model) == pytest.approx(weight_bytes(real.model), abs=4 * 40)
    plain = on_meta(name)
    assert forward_flops(empty.model, length=12) == forward_flops(plain.model, length=12)
    assert forward_flops(real.model, length=12) == forward_flops(tiny_bundle(name).model, length=12)
    assert parameter_count(real.model) == parameter_count(plain.model)


def test_scales_of_their_own_are_counted():
    sketch = StoreLinears(storage="nf4", double=False).apply(on_meta("bert")).sketch()
    real = StoreLinears(storage="nf4", double=False).apply(tiny_bundle("bert"))
    assert sketch == real.sketch()
    assert sketch.bytes != StoreLinears(storage="nf4").apply(on_meta("bert")).sketch().bytes


@pytest.mark.parametrize("storage", STORAGES)
def test_the_size_of_a_row(storage, tmp_path):
    bundle = stored_bundle("bert", storage)
    found, plain = counts(bundle), counts(tiny_bundle("bert"))
    assert (found.parameters, found.embedding) == (plain.parameters, plain.embedding)
    assert found.nonzero <= plain.nonzero and found.nonzero == nonzero_count(to_dense(bundle.copy()).model)
    assert (save(bundle, tmp_path) / "model.safetensors").stat().st_size == pytest.approx(
        weight_bytes(bundle.model), abs=300
    )
    assert storage_of(bundle.model) == storage and storage_of(tiny_bundle("bert").model) == "fp32"


@pytest.mark.parametrize("storage", STORAGES)
def test_no_dense_weight_is_kept_for_backward(storage):
    linear = stored(torch.nn.Linear(64, 48), storage).train()
    kept = []
    rows = torch.randn(2, 5, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        linear(rows).sum().backward()
        linear.eval()(rows).sum().backward()
    assert kept == [] and rows.grad is not None


def test_the_operations_of_a_training_are_counted():
    from torch.utils.flop_counter import FlopCounterMode

    found = {}
    for storage in STORAGES:
        bundle = stored_bundle("bert", storage)
        with FlopCounterMode(display=False) as counter:
            tiny_logits(bundle)
        found[storage] = counter.get_total_flops()
    assert len(set(found.values())) == 1 and grid(tiny_inputs(bundle))[0] == 5
