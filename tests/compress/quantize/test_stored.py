"""Every family in every storage: it answers, the same each time, and dense says what the storage says."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from compress.core.errors import Refusal
from compress.core.families.family import base_model
from compress.core.low_bit.linear import StoredLinear
from compress.core.model.low_bit import dense_weight, stored_linears
from compress.core.surgery.heads_and_neurons import keep_neurons
from compress.quantize.store_linears import StoreLinears, stored_as, to_dense
from finetune.parameters.names import head_names
from tests.compress.quantize.given import STORAGES, hidden_states, stored_bundle
from tests.tiny import FAMILIES, few, tiny_bundle, tiny_logits

ERRORS = {"bf16": 2**-8, "int8": 0.02, "nf4": 0.15, "fp4": 0.2}
"""Largest relative error of a matrix."""


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", few())
def test_it_answers_as_its_dense_weights_do(name, storage):
    plain, bundle = tiny_bundle(name), stored_bundle(name, storage)
    answers = tiny_logits(bundle)
    assert torch.equal(tiny_logits(stored_bundle(name, storage)), answers)
    assert torch.equal(tiny_logits(bundle.copy()), answers)
    linears = stored_linears(bundle.model)
    weights = {path: dense_weight(linear) for path, linear in linears.items()}
    for path, weight in weights.items():
        before = dense_weight(plain.model.get_submodule(path))
        assert weight.shape == before.shape
        assert (weight - before).norm() < ERRORS[storage] * before.norm()
    assert stored_as(bundle) == StoreLinears(storage=storage) and stored_as(plain) is None
    dense = to_dense(bundle)
    assert "quantized" not in dense.states and not stored_linears(dense.model)
    assert type(dense.model.get_submodule(path)) is type(plain.model.get_submodule(path))
    assert all(torch.equal(dense_weight(dense.model.get_submodule(path)), weight) for path, weight in weights.items())
    # LLM.int8 rounds the inputs too.
    assert (tiny_logits(dense) - answers).abs().max() < (0.1 if storage == "int8" else 1e-5)
    assert dense.sketch() == plain.sketch()


@pytest.mark.parametrize("storage", ["bf16", "int8", "nf4"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_reach_the_lowest_layer_after_an_evaluation(name, storage):
    bundle = stored_bundle(name, storage)
    tiny_logits(bundle)
    with torch.inference_mode():
        tiny_logits(bundle)
    first = hidden_states(bundle)
    assert all(hidden.grad is not None and bool(hidden.grad.abs().sum() > 0) for hidden in first)
    lowest = bundle.family.module_list(bundle.model)[0]
    biases = [p for n, p in lowest.named_parameters() if n.endswith("bias")]
    assert all(bias.dtype == torch.float32 and bias.grad is not None for bias in biases)


@pytest.mark.parametrize("name", FAMILIES)
def test_only_linears_of_the_blocks_are_stored(name):
    bundle = stored_bundle(name, "nf4")
    blocks = {id(m) for m in bundle.family.module_list(bundle.model).modules()}
    linears = [m for m in bundle.model.modules() if isinstance(m, StoredLinear)]
    assert linears and all(id(linear) in blocks for linear in linears)
    parameters = dict(bundle.model.named_parameters())
    assert all(
        parameters[head].dtype == torch.float32 and parameters[head].requires_grad for head in head_names(bundle)
    )
    assert not any(linear.weight.requires_grad for linear in linears)
    assert all(linear.bias is None or linear.bias.requires_grad for linear in linears)


@pytest.mark.parametrize("storage", STORAGES)
def test_gradients_are_those_of_the_dense_model(storage):
    bundle = stored_bundle("bert", storage)
    dense = to_dense(bundle.copy())
    for model in (bundle.model, dense.model):
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    ours, theirs = hidden_states(bundle), hidden_states(dense)
    assert all((a.grad - b.grad).abs().max() < 1e-5 * b.grad.abs().max() for a, b in zip(ours, theirs, strict=True))
    for (name, mine), other in zip(bundle.model.named_parameters(), dense.model.parameters(), strict=True):
        if mine.requires_grad:
            assert torch.allclose(mine.grad, other.grad, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("storage", STORAGES)
def test_a_copy_stands_on_its_own(storage):
    bundle = stored_bundle("gpt2", storage)
    answers, copied = tiny_logits(bundle), bundle.copy()
    for tensor in copied.model.state_dict().values():
        tensor.zero_()
    assert torch.equal(tiny_logits(bundle), answers)
    mine, other = bundle.model.state_dict(), copied.model.state_dict()
    assert not {t.data_ptr() for t in mine.values()} & {t.data_ptr() for t in other.values()}
    twice = copy.deepcopy(copy.deepcopy(bundle.model.get_submodule("transformer.h.0.mlp.c_fc")))
    assert not any(module is bundle.model for module in vars(twice.weight).values())


@pytest.mark.parametrize("storage", STORAGES)
def test_a_state_is_given_back(storage):
    bundle, other = stored_bundle("bert", storage), stored_bundle("bert", storage, seed=1)
    other.model.load_state_dict(bundle.model.state_dict())
    assert torch.equal(tiny_logits(other), tiny_logits(bundle))
    assert torch.equal(tiny_logits(other.to("cpu")), tiny_logits(bundle))


@pytest.mark.parametrize("storage", STORAGES)
def test_autocast_leaves_the_bias_in_fp32(storage):
    bundle = stored_bundle("bert", storage)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden_states(bundle)
    linear = next(iter(stored_linears(bundle.model).values()))
    assert linear.bias.dtype == linear.bias.grad.dtype == torch.float32
    assert all(p.dtype == torch.float32 for n, p in bundle.model.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("shape", [(7, 9), (33, 31), (1, 5), (64, 64)])
@pytest.mark.parametrize("storage", STORAGES)
def test_odd_widths(shape, storage):
    from compress.core.model.low_bit import plain, stored

    outputs, inputs = shape
    linear = nn.Linear(inputs, outputs)
    made = stored(linear, storage)
    rows = torch.randn(3, inputs, generator=torch.manual_seed(0))
    assert made.train()(rows).shape == (3, outputs)
    assert torch.allclose(made(rows), plain(made)(rows), atol=1e-6)
    assert (dense_weight(made) - linear.weight).norm() < ERRORS[storage] * linear.weight.norm()


@pytest.mark.parametrize("storage", STORAGES)
def test_zeros_stay_zeros(storage):
    from compress.core.model.low_bit import nonzero_count, stored

    linear = nn.Linear(40, 30)
    linear.weight.data[linear.weight.data < 0] = 0
    linear.weight.data[4] = 0
    model = nn.Sequential(stored(linear, storage))
    assert bool((dense_weight(model[0])[linear.weight == 0] == 0).all())
    assert nonzero_count(model) <= int(linear.weight.count_nonzero()) + 30


def test_the_storage_is_bitsandbytes_own():
    import bitsandbytes as bnb

    linear = nn.Linear(64, 48)
    from compress.core.model.low_bit import stored

    for storage in ("nf4", "fp4"):
        theirs = bnb.nn.Linear4bit(64, 48, quant_type=storage)
        theirs.load_state_dict(linear.state_dict())
        theirs.to("cpu")
        ours = stored(linear, storage)
        assert isinstance(ours, bnb.nn.Linear4bit)
        mine, other = ours.state_dict(), theirs.state_dict()
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    theirs = bnb.nn.Linear8bitLt(64, 48, has_fp16_weights=False, threshold=6.0)
    theirs.load_state_dict(linear.state_dict())
    theirs.to("cpu")
    ours, rows = stored(linear, "int8"), torch.randn(5, 64) * 4
    assert isinstance(ours, bnb.nn.Linear8bitLt)
    assert torch.equal(ours.eval()(rows), theirs.eval()(rows))
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


@pytest.mark.parametrize("state", ["quantized", "adapted"])
def test_what_is_stored_or_adapted_is_refused(state):
    bundle = tiny_bundle("bert")
    bundle.states = frozenset({state})
    with pytest.raises(Refusal, match="bert model cannot be stored in nf4: "):
        StoreLinears(storage="nf4").apply(bundle)
    assert state in StoreLinears(storage="nf4").forbids(bundle.sketch())
    assert "factorized" not in StoreLinears(storage="nf4").forbids(tiny_bundle("bert").sketch())


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_stored_is_not_cut(storage):
    bundle = stored_bundle("bert", storage)
    with pytest.raises(Refusal, match=f"stored in {storage}"):
        keep_neurons(bundle.model, bundle.family, tuple((0, 1, 2) for _ in range(4)))


def test_a_model_without_linears_is_refused():
    bundle = tiny_bundle("bert")
    base_model(bundle.model).encoder.layer = nn.ModuleList()
    with pytest.raises(Refusal, match="its blocks have none"):
        StoreLinears(storage="bf16").apply(bundle)


def test_bitsandbytes_is_missed_by_name(monkeypatch):
    import sys

    from compress.core.errors import MissingPackage

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingPackage, match=r"(?s)'bitsandbytes'.*pip install bitsandbytes"):
        StoreLinears(storage="nf4").apply(tiny_bundle("bert"))
    assert stored_linears(StoreLinears(storage="bf16").apply(tiny_bundle("bert")).model)
