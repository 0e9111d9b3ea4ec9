"""A stored model on disk: plain transformers opens it, and `load` gives the same model, on any device."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers

from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError
from compress.core.model.low_bit import dense_weight, storage_of, stored_linears
from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
from compress.quantize.store_linears import StoreLinears, to_dense
from recipes.plan.predict import weight_bytes
from tests.compress.quantize.given import STORAGES, WIDE, stored_bundle
from tests.contracts.cuts import some_heads
from tests.contracts.test_saving import auto
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_inputs, tiny_logits


def plain_logits(model, bundle):
    """Of stock linears, kept from the packing for AVX-512 BF16, which works in bf16."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        return model(**tiny_inputs(bundle)).logits


KINDS = ("bert", "gpt2", "t5", "vit")
PAIRS = [
    pytest.param(name, storage, marks=[] if storage == "nf4" or name in KINDS else [pytest.mark.slow])
    for name in FAMILIES
    for storage in STORAGES
]


@pytest.mark.parametrize(("name", "storage"), PAIRS)
def test_it_opens_with_plain_transformers_and_loads_to_the_bit(name, storage, tmp_path):
    bundle = stored_bundle(name, storage, **WIDE)
    bundle.states = bundle.states | {"head_trained"}
    answers, sketch = tiny_logits(bundle), bundle.sketch()
    save(bundle, tmp_path)
    # Names in the file may be longer than in memory.
    assert (tmp_path / "model.safetensors").stat().st_size == pytest.approx(weight_bytes(bundle.model), rel=0.05)
    loaded = load(tmp_path)
    assert torch.equal(tiny_logits(loaded), answers)
    assert loaded.sketch() == sketch and storage_of(loaded.model) == storage
    assert not hasattr(loaded.config, "quantization_config") and not getattr(loaded.model, "is_quantized", False)
    assert {n for n, p in loaded.model.named_parameters() if p.requires_grad} == {
        n for n, p in bundle.model.named_parameters() if p.requires_grad
    }
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == name and ("quantization_config" in config) == (storage != "bf16")
    model, report = auto(name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert torch.allclose(plain_logits(model, bundle), answers, atol=1e-6)


@pytest.mark.parametrize("storage", ["int8", "nf4", "fp4"])
def test_plain_transformers_answers_as_it_does(storage, tmp_path):
    bundle = stored_bundle("bert", storage, **WIDE)
    save(bundle, tmp_path)
    with torch.no_grad():
        answers = auto("bert").from_pretrained(tmp_path)(**tiny_inputs(bundle)).logits
    # bitsandbytes works in bf16 on CPUs that have it, whatever the configuration says.
    assert torch.allclose(answers, tiny_logits(bundle), atol=0.03)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_it_is_a_source_of_recipes(name, storage, tmp_path):
    bundle = stored_bundle(name, storage)
    bundle.states = bundle.states | {"head_trained"}
    save(bundle, tmp_path)
    settings = {"head": "sequence_classification", "labels": ("LABEL_0", "LABEL_1")}
    source, shapes = load_source(tmp_path, **settings), load_source(tmp_path, **settings, meta=True)
    assert torch.equal(tiny_logits(source), tiny_logits(bundle))
    assert source.states == shapes.states == {"quantized", "head_trained"}
    assert source.sketch() == shapes.sketch() == bundle.sketch()
    fresh = load_source(tmp_path, head="sequence_classification", labels=("a", "b", "c"))
    assert fresh.config.num_labels == 3 and storage_of(fresh.model) == storage


@pytest.mark.parametrize("storage", ["bf16", "int8", "nf4"])
def test_a_cut_model_takes_its_own_road(storage, tmp_path):
    bundle = tiny_bundle("bert")
    keep_heads(bundle.model, bundle.family, some_heads(bundle))
    bundle = bundle.changed_by(StoreLinears(storage=storage))
    answers = tiny_logits(bundle)
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(loaded), answers)
    assert loaded.config.model_type == "trimformer_bert"
    with pytest.raises(ValueError, match="trust_remote_code"):
        auto("bert").from_pretrained(tmp_path, trust_remote_code=False)


ALONE = """
import json, sys
sys.modules.update(compress=None, finetune=None, recipes=None)
import torch, transformers
job = json.load(open(sys.argv[1]))
model = transformers.AutoModelForSequenceClassification.from_pretrained(job["directory"], trust_remote_code=True)
for module in model.modules():
    if hasattr(module, "support_avx512bf16_for_cpu"):
        module.support_avx512bf16_for_cpu = False
with torch.no_grad():
    logits = model(**{name: torch.tensor(value) for name, value in job["inputs"].items()}).logits
print((logits - torch.tensor(job["logits"])).abs().max().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["int8", "nf4"])
def test_a_cut_model_opens_where_this_package_is_not(storage, tmp_path):
    bundle = tiny_bundle("bert", **WIDE)
    neurons = tuple(tuple(range(64 if number % 2 else 128)) for number in range(4))
    keep_neurons(bundle.model, bundle.family, neurons)
    bundle = bundle.changed_by(StoreLinears(storage=storage))
    job = {
        "directory": str(save(bundle, tmp_path / "model")),
        "inputs": {name: value.tolist() for name, value in tiny_inputs(bundle).items()},
        "logits": tiny_logits(bundle).tolist(),
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    (tmp_path / "alone.py").write_text(ALONE)
    done = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "alone.py", "job.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "HF_MODULES_CACHE": str(tmp_path / "modules")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-5


@pytest.mark.parametrize("storage", STORAGES)
def test_dense_again_it_is_an_ordinary_directory(storage, tmp_path):
    bundle = to_dense(load(save(stored_bundle("bert", storage), tmp_path / "stored")))
    save(bundle, tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    assert "quantization_config" not in record
    model = auto("bert").from_pretrained(tmp_path)
    assert torch.equal(plain_logits(model, bundle), tiny_logits(bundle))
    assert not stored_linears(load(tmp_path).model)


def test_the_head_is_named_among_what_is_not_quantized(tmp_path):
    save(stored_bundle("distilbert", "nf4"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert set(config["llm_int8_skip_modules"]) == {"classifier", "pre_classifier"}
    assert config["bnb_4bit_quant_type"] == "nf4" and config["bnb_4bit_use_double_quant"]


def test_what_bitsandbytes_itself_quantized_is_opened(tmp_path):
    save(tiny_bundle("bert"), tmp_path / "dense")
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="fp4", llm_int8_skip_modules=["classifier", "pooler"]
    )
    theirs = auto("bert").from_pretrained(tmp_path / "dense", quantization_config=config, device_map={"": "cpu"})
    theirs.save_pretrained(tmp_path / "theirs")
    bundle = load_source(tmp_path / "theirs", head="sequence_classification", labels=None)
    assert storage_of(bundle.model) == "fp4" and "quantized" in bundle.states
    ours = StoreLinears(storage="fp4", double=False).apply(tiny_bundle("bert"))
    for path, linear in stored_linears(ours.model).items():
        assert torch.equal(dense_weight(bundle.model.get_submodule(path)), dense_weight(linear))


def test_another_packages_quantization_is_refused(tmp_path):
    save(tiny_bundle("bert"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(InputError, match="quantized by gptq"):
        load(tmp_path)


@pytest.mark.parametrize("name", sorted(IMAGE_FAMILIES))
def test_the_patches_stay_as_they_are(name, tmp_path):
    bundle = load(save(stored_bundle(name, "int8"), tmp_path))
    assert all(p.dtype in (torch.float32, torch.int8) for p in bundle.model.parameters())
    assert next(bundle.model.parameters()).dtype == torch.float32
