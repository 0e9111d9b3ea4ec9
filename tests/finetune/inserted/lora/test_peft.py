"""Beside plain PEFT: the same numbers in training, and files that it opens."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle, Tuned
from finetune.inserted.lora.adaptive import finished
from finetune.inserted.lora.insertion import PeftInsertion, inserted_layers, inserted_names
from finetune.inserted.lora.peft_format import CONFIG, TENSORS, expressible, read, write
from finetune.inserted.lora.targets import target_linears
from finetune.method import Method, only_trained
from finetune.methods.adalora import Adalora
from finetune.methods.dora import Dora
from finetune.methods.ia3 import Ia3
from finetune.methods.lora import Lora
from finetune.parameters.names import head_names
from tests.finetune.inserted.lora.cases import cases
from tests.finetune.inserted.lora.test_insertion import logits, put_in
from tests.finetune.methods.steps import few_steps
from tests.tiny import IMAGE_FAMILIES, tiny_bundle, tiny_inputs

SEVERAL = ["bert", "roberta", "distilbert", "albert", "gpt2", "modernbert", "deberta", "bart", "t5", "vit"]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # PEFT looks for a layer of this name and finds AdaLoRA's key, in files of its own too.
        warnings.filterwarnings("ignore", message="The following rank_pattern keys did not match")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
        yield


def plain(method: Method, bundle: Bundle) -> Any:
    """What a user of PEFT alone would write."""
    from peft import IA3Config, LoraConfig, get_peft_model

    change = method.change(bundle.sketch())
    linears = target_linears(bundle, change.targets)
    given: dict[str, Any] = {"target_modules": list(linears), "fan_in_fan_out": bundle.config.model_type == "gpt2"}
    if isinstance(method, Ia3):
        down = {id(module) for module in bundle.family.block_parts(bundle.model, "down")}
        given["feedforward_modules"] = [path for path, linear in linears.items() if id(linear) in down]
        return get_peft_model(bundle.model, IA3Config(**given))
    config = LoraConfig(r=8, lora_alpha=16, use_dora=isinstance(method, Dora), **given)
    return get_peft_model(bundle.model, config)


@pytest.mark.parametrize(
    ("name", "method"),
    cases("bert", "albert", "gpt2", "modernbert", "deberta-v2", "t5", methods=(Lora(), Dora(), Ia3())),
)
def test_the_same_numbers_as_plain_peft(name: str, method: Method) -> None:
    ours, theirs = tiny_bundle(name), tiny_bundle(name)
    ours, change = put_in(method, ours)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wrapped = plain(method, theirs)
    shake(ours.model)
    shake(wrapped.base_model.model)
    assert torch.equal(logits(ours), logits(theirs))
    names = change.inserted(ours)
    assert names == {n for n, p in theirs.model.named_parameters() if p.requires_grad}
    for bundle in (ours, theirs):
        with only_trained(bundle.model, names):
            bundle.model(**tiny_inputs(bundle)).logits.square().sum().backward()
    for path in sorted(names):
        one, other = ours.model.get_parameter(path).grad, theirs.model.get_parameter(path).grad
        assert one is not None and other is not None and torch.equal(one, other), path


@torch.no_grad()
def shake(model: torch.nn.Module) -> None:
    """As if it had been trained: B of zeros hides most of what could be wrong."""
    draw = torch.Generator().manual_seed(3)
    for name in sorted(inserted_names(model)):
        parameter = model.get_parameter(name)
        parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.05)


def tuned(name: str, method: Method, **fields: Any) -> tuple[Bundle, PeftInsertion]:
    bundle = replace(tiny_bundle(name), **fields)
    bundle, _ = put_in(method, bundle)
    names = method.trainable(bundle)
    few_steps(bundle, names)
    if isinstance(method, Adalora):
        with torch.no_grad():
            for number, layer in enumerate(inserted_layers(bundle.model).values()):
                layer.lora_E["default"][: number % 13] = 0.0
        bundle, _ = finished(bundle)
    bundle.tuned = Tuned(method.name, names, 0)
    insertion = bundle.changes[-1]
    assert isinstance(insertion, PeftInsertion)
    return bundle, insertion


@torch.no_grad()
def opened_by_peft(base: Path, directory: Path, bundle: Bundle) -> Tensor:
    import peft
    import transformers

    image = bundle.family.model_type in IMAGE_FAMILIES
    auto = transformers.AutoModelForImageClassification if image else transformers.AutoModelForSequenceClassification
    model = peft.PeftModel.from_pretrained(auto.from_pretrained(base, num_labels=2), str(directory))
    return model.eval()(**tiny_inputs(bundle)).logits


@pytest.mark.parametrize(("name", "method"), cases(*SEVERAL))
def test_peft_opens_what_is_written(name: str, method: Method, tmp_path: Path) -> None:
    base, directory = tmp_path / "base", tmp_path / "delta"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_bundle(name).model.save_pretrained(base)
    bundle, insertion = tuned(name, method)
    assert expressible(bundle)
    write(bundle, insertion, directory, base=str(base))
    assert torch.equal(opened_by_peft(base, directory, bundle), logits(bundle))
    state = bundle.model.state_dict()
    tensors = read(directory)
    assert tensors.keys() == inserted_names(bundle.model) | head_names(bundle)
    assert all(torch.equal(tensor, state[path]) for path, tensor in tensors.items())
    config = json.loads((directory / CONFIG).read_text())
    assert config["base_model_name_or_path"] == str(base) and config["inference_mode"] is True
    assert config["task_type"] == (None if name == "vit" else "SEQ_CLS")
    assert set(config["modules_to_save"]) == {path.split(".")[0] for path in head_names(bundle)}


@pytest.mark.parametrize(("name", "method"), cases("bert", "gpt2"))
def test_the_files_are_those_that_peft_writes(name: str, method: Method, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file

    base = tmp_path / "base"
    tiny_bundle(name).model.save_pretrained(base)
    bundle, insertion = tuned(name, method)
    write(bundle, insertion, tmp_path / "ours", base=str(base))
    warnings.filterwarnings("ignore", message="Adapter 'default': . LoRA tensor")  # of rank 0, which is right here
    model = PeftModel.from_pretrained(type(bundle.model).from_pretrained(base), str(tmp_path / "ours"))
    model.save_pretrained(str(tmp_path / "theirs"))
    ours, theirs = (load_file(tmp_path / who / TENSORS) for who in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    again = read(tmp_path / "theirs")
    assert again.keys() == inserted_names(bundle.model) | head_names(bundle)


def test_a_fresh_pooler_is_saved_with_the_head(tmp_path: Path) -> None:
    fresh = frozenset({"bert.pooler.dense.weight", "bert.pooler.dense.bias"})
    bundle, insertion = tuned("bert", Lora(), fresh=fresh)
    tiny_bundle("bert").model.save_pretrained(tmp_path / "base")
    write(bundle, insertion, tmp_path / "delta", base=str(tmp_path / "base"))
    config = json.loads((tmp_path / "delta" / CONFIG).read_text())
    assert sorted(config["modules_to_save"]) == ["bert.pooler", "classifier"]
    assert torch.equal(opened_by_peft(tmp_path / "base", tmp_path / "delta", bundle), logits(bundle))


def test_a_part_of_a_module_cannot_be_said(tmp_path: Path) -> None:
    bundle, insertion = tuned("bert", Lora())
    names = bundle.tuned.names if bundle.tuned else frozenset()
    bundle.tuned = Tuned("lora", names | {"bert.encoder.layer.0.output.dense.bias"}, 0)
    assert not expressible(bundle)
    with pytest.raises(InputError, match="parts of modules"):
        write(bundle, insertion, tmp_path, base="")
    with pytest.raises(InputError, match="holds no adapter in PEFT's format"):
        read(tmp_path)
    assert not expressible(tiny_bundle("bert"))
