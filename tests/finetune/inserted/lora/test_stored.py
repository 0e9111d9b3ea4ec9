"""On a base whose linears are stored in few bits: what is put in goes around them, trains, and merges."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.quantize.store_linears import StoreLinears, to_dense
from finetune.context import make_context
from finetune.delta.opening import load_delta
from finetune.delta.saving import save_delta
from finetune.inserted.insertion import Insertion
from finetune.inserted.lora.insertion import inserted_layers
from finetune.inserted.lora.peft_format import CONFIG
from finetune.merge.stage import Merge
from finetune.method import Method, only_trained
from finetune.methods.adalora import Adalora
from finetune.methods.lora import Lora
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.finetune.inserted.lora.cases import cases
from tests.finetune.inserted.lora.test_insertion import BY_NAME, logits, put_in
from tests.finetune.methods.steps import few_steps
from tests.tiny import tiny_bundle, tiny_inputs

STORAGES = ["bf16", "int8", "nf4"]


@pytest.mark.parametrize(("name", "storage", "method"), cases("gpt2", "bart", "t5", others=[[s] for s in STORAGES]))
def test_the_start_the_steps_and_the_merge(name: str, storage: str, method: Method) -> None:
    bundle = tiny_bundle(name).changed_by(StoreLinears(storage=storage))
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
        )
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
        stored = bundle.changed_by(StoreLinears(storage=storage))
        change = method.change(stored.sketch())
        assert isinstance(change, Insertion)
        stored = stored.changed_by(change)
        found.append({path: stored.model.get_parameter(path).shape for path in change.inserted(stored)})
        kinds = {type(layer.base_layer).__name__ for layer in inserted_layers(stored.model).values()}
        assert len(kinds) == 1 and kinds != {"Linear"}
    assert found[0] == found[1]


@pytest.mark.parametrize("method", [pytest.param(m, id=m.name) for m in (Lora(targets="c_attn"), Adalora(interval=1))])
def test_a_stage_on_a_stored_base_is_saved_opened_and_merged(
    method: Method, task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    base = tiny_bundle("gpt2")
    ctx = make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=None)
    plan = TrainPlan(max_steps=6, batch_size=8, precision="fp32")
    stage = Finetune(method=method, base="nf4", train=plan, learning_rates=(1e-3, 1e-2))
    tuned = stage.run(base.copy(), ctx)
    answers = logits(tuned)
    save_delta(tuned, tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())["fan_in_fan_out"] is True
    opened = load_delta(base, tmp_path)
    assert torch.equal(logits(opened), answers) and opened.changes == tuned.changes
    merged = Merge().run(opened, ctx)
    torch.testing.assert_close(logits(merged), answers, atol=1e-5, rtol=1e-5)
    assert not inserted_layers(merged.model) and "nf" in vars(merged.model.transformer.h[0].attn.c_attn)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "storage", "method"), cases("bert", "gpt2", others=[[s] for s in STORAGES]))
def test_on_a_gpu(name: str, storage: str, method: Method) -> None:
    bundle = tiny_bundle(name).to("cuda").changed_by(StoreLinears(storage=storage))
    bundle, change = put_in(method, bundle)
    names = change.inserted(bundle)
    assert all(bundle.model.get_parameter(path).is_cuda for path in names)
    start = copy.deepcopy(bundle.model.state_dict())
    inputs = {key: value.to("cuda") for key, value in tiny_inputs(bundle).items()}
    with only_trained(bundle.model, names):
        optimizer = torch.optim.AdamW([bundle.model.get_parameter(path) for path in names], lr=1e-2, weight_decay=0.0)
        for _ in range(3):
            with torch.autocast("cuda", torch.bfloat16):
                loss = bundle.model(**inputs).logits.float().square().sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    now = bundle.model.state_dict()
    assert {path for path in now if not torch.equal(now[path], start[path])} == names
