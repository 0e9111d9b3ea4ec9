"""On a base whose linears are stored in few bits: what is put in goes around them, trains, and merges."""

from __future__ import annotations

import copy

import pytest
import torch

from compress.core.bundle import Bundle
from compress.quantize.stored import StoreLinears, to_dense
from finetune.insertion import Insertion
from finetune.lora.insertion import inserted_layers
from finetune.method import Method
from finetune.stage import Finetune
from tests.finetune.lora.test_insertion import BY_NAME, logits, put_in
from tests.finetune.methods.steps import few_steps
from tests.tiny import tiny_bundle

STORAGES = ["bf16", "int8", "nf4"]


@pytest.mark.parametrize("method", BY_NAME)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_the_start_the_steps_and_the_merge(name: str, storage: str, method: Method) -> None:
    bundle = tiny_bundle(name).changed_by(StoreLinears(storage=storage))  # type: ignore[arg-type]
    before = logits(bundle)
    bundle, change = put_in(method, bundle)
    close = 1e-5 if method.name == "dora" else 0.0
    torch.testing.assert_close(logits(bundle), before, atol=close, rtol=close)
    names = method.trainable(bundle)
    assert all(bundle.model.get_parameter(path).dtype == torch.float32 for path in names)
    start = copy.deepcopy(bundle.model.state_dict())
    few_steps(bundle, names)
    now = bundle.model.state_dict()
    assert {path for path in now if not torch.equal(now[path], start[path])} == names
    stored = logits(bundle)
    assert not torch.allclose(stored, before, atol=1e-3)
    dense = logits(to_dense(bundle))
    change.merge(bundle)
    assert not inserted_layers(bundle.model)
    torch.testing.assert_close(logits(bundle), dense, atol=1e-5, rtol=1e-5)
    if storage != "int8":  # which rounds the inputs too
        torch.testing.assert_close(stored, dense, atol=1e-5, rtol=1e-5)


def test_peft_knows_the_storage() -> None:
    kinds = {}
    for storage in STORAGES:
        bundle, _ = put_in(
            Finetune(method="lora").method, tiny_bundle("bert").changed_by(StoreLinears(storage=storage))
        )  # type: ignore[arg-type]
        (kinds[storage],) = {type(layer).__name__ for layer in inserted_layers(bundle.model).values()}
        assert not hasattr(bundle.model, "is_loaded_in_4bit")
    assert kinds == {"bf16": "Linear", "int8": "Linear8bitLt", "nf4": "Linear4bit"}


@pytest.mark.parametrize("method", BY_NAME)
@pytest.mark.parametrize("storage", STORAGES)
def test_the_shapes_are_known_without_weights(storage: str, method: Method) -> None:
    found, real = [], tiny_bundle("gpt2")
    with torch.device("meta"):
        without = Bundle(type(real.model)(real.config), None)
    for bundle in (real, without):
        stored = bundle.changed_by(StoreLinears(storage=storage))  # type: ignore[arg-type]
        change = method.change(stored.sketch())
        assert isinstance(change, Insertion)
        stored = stored.changed_by(change)
        found.append({path: stored.model.get_parameter(path).shape for path in change.inserted(stored)})
        kinds = {type(layer.base_layer).__name__ for layer in inserted_layers(stored.model).values()}
        assert len(kinds) == 1 and kinds != {"Linear"}
    assert found[0] == found[1]
