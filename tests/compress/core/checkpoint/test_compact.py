"""Masked weights in a file: small, and dense once opened, by this package and by transformers alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from compress.core.checkpoint.compact import BITS, VALUES, write_compact
from compress.core.checkpoint.save import load, save
from compress.core.errors import StageFailed
from compress.core.model.masks import compact_bytes
from compress.core.stage.context import Context
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.stage import Prune
from compress.prune.weights.elements import Elements
from tests.compress.distill.stub import trained
from tests.contracts.test_saving import auto
from tests.tiny import few, tiny_inputs, tiny_logits


def pruned(name="bert", sparsity=0.9, **config):
    stage = Prune(pattern=Elements(), sparsity=sparsity, criterion=Magnitude(), allocation="global", recover=None)
    return stage.run(trained(name, **config), Context())


def test_the_file_holds_bits_and_values_and_is_as_small_as_they_are(tmp_path):
    from safetensors.torch import load_file

    bundle = pruned(hidden_size=128, intermediate_size=256)
    save(bundle, tmp_path)
    assert not (tmp_path / "masks.safetensors").exists()
    tensors = load_file(tmp_path / "model.safetensors")
    for name, mask in bundle.masks.items():
        assert name not in tensors
        assert len(tensors[name + BITS]) == mask.numel() // 8 and len(tensors[name + VALUES]) == int(mask.sum())
    size = (tmp_path / "model.safetensors").stat().st_size
    masked = sum(compact_bytes(int(m.sum()), m.numel(), 4) for m in bundle.masks.values())
    rest = sum(p.numel() * 4 for n, p in bundle.model.named_parameters() if n not in bundle.masks)
    assert masked + rest < size < masked + rest + 15_000
    assert masked < 0.14 * sum(4 * mask.numel() for mask in bundle.masks.values())
    assert bundle.sketch().bytes == masked + rest


@pytest.mark.parametrize("name", few())
def test_the_directorys_own_code_opens_it_dense(name, tmp_path):
    bundle = pruned(name, 0.7)
    expected = tiny_logits(bundle)
    save(bundle, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == f"trimformer_{name}"
    with pytest.raises(ValueError, match="trust_remote_code"):
        auto(name).from_pretrained(tmp_path, trust_remote_code=False)
    model, report = auto(name).from_pretrained(tmp_path, trust_remote_code=True, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    with torch.no_grad():
        assert torch.equal(model.eval()(**tiny_inputs(bundle)).logits, expected)
    own = dict(bundle.model.named_parameters())
    assert all(torch.equal(parameter, own[path]) for path, parameter in model.named_parameters())


@pytest.mark.slow
def test_transformers_alone_opens_it_with_and_without_a_head(tmp_path):
    bundle = pruned(sparsity=0.7)
    save(bundle, tmp_path)
    weight = bundle.model.bert.encoder.layer[1].output.dense.weight.detach()
    code = f"""
import sys
sys.modules["compress"] = None
import transformers
for auto in (transformers.AutoModel, transformers.AutoModelForSequenceClassification):
    model = auto.from_pretrained({str(tmp_path)!r}, trust_remote_code=True)
    weight = model.base_model.encoder.layer[1].output.dense.weight
    print(tuple(weight.shape), int(weight.count_nonzero()), float(weight.double().sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    said = f"{tuple(weight.shape)} {int(weight.count_nonzero())} {float(weight.double().sum())}"
    assert done.stdout.strip().splitlines() == [said, said]


def test_a_loaded_model_is_saved_again_to_the_same_bits(tmp_path):
    first = save(pruned(), tmp_path / "one")
    again = save(load(first), tmp_path / "two")
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_weights_under_a_mask_are_not_lost_unseen(tmp_path):
    bundle = pruned()
    name = next(iter(bundle.masks))
    bundle.model.get_parameter(name).data.fill_(1)
    with pytest.raises(StageFailed, match="are not zero, and would be lost"):
        save(bundle, tmp_path)
    with pytest.raises(StageFailed, match="no weight of this name"):
        write_compact(tmp_path, {"nothing.weight": torch.ones(1, dtype=torch.bool)})
