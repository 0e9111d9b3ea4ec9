"""What travels with a model: changes, states, masks, labels, tokenizer."""

from __future__ import annotations

import json

import pytest
import torch

from compress.core.checkpoint.masks import read_masks
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError, StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.masks import apply_masks
from compress.core.surgery.layers import keep_layers
from compress.quantize.store_linears import StoreLinears
from tests.tiny import tiny_bundle


class DropLastLayerForTest(Change):
    """Leaves `left` layers."""

    left: int

    def apply(self, bundle: Bundle) -> Bundle:
        keep_layers(bundle.model, bundle.family, tuple(range(self.left)))
        return bundle


def test_changes_and_states_survive(tmp_path):
    bundle = tiny_bundle("bert").changed_by(DropLastLayerForTest(left=3))
    bundle.states = frozenset({"head_trained", "masked"})
    loaded = load(save(bundle, tmp_path))
    assert loaded.changes == (DropLastLayerForTest(left=3),)
    assert loaded.states == bundle.states
    assert loaded.sketch() == bundle.sketch()


def test_masks_travel_as_bits(tmp_path):
    bundle = tiny_bundle("bert")
    paths = ("bert.encoder.layer.0.output.dense.weight", "classifier.bias")
    named = dict(bundle.model.named_parameters())
    bundle.masks = {path: torch.rand(named[path].shape, generator=torch.manual_seed(0)) > 0.5 for path in paths}
    apply_masks(bundle.model, bundle.masks)
    loaded = load(save(bundle, tmp_path))
    assert loaded.masks.keys() == bundle.masks.keys()
    for path, mask in bundle.masks.items():
        assert loaded.masks[path].dtype == torch.bool
        assert torch.equal(loaded.masks[path], mask)
    bundle.masks = {}
    assert load(save(bundle, tmp_path)).masks == {}


def test_a_lost_mask_is_named(tmp_path):
    bundle = tiny_bundle("bert")
    path = "bert.encoder.layer.0.output.dense.weight"
    bundle.masks = {path: torch.ones((32, 48), dtype=torch.bool)}
    save(bundle, tmp_path)
    other = save(tiny_bundle("bert"), tmp_path / "other") / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="lacks the mask of"):
        read_masks(tmp_path, json.loads((tmp_path / "trimformer.json").read_text()))


def test_masks_of_weights_in_few_bits_lie_in_a_file_of_their_own(tmp_path):
    bundle = tiny_bundle("bert")
    path = "bert.encoder.layer.0.output.dense.weight"
    bundle.masks = {path: torch.rand((32, 48), generator=torch.manual_seed(0)) > 0.5}
    apply_masks(bundle.model, bundle.masks)
    StoreLinears(storage="bf16").apply(bundle)
    bundle.model.get_submodule(path.removesuffix(".weight")).weight.data.zero_()
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(loaded.masks[path], bundle.masks[path])
    bundle.masks = {}
    assert load(save(bundle, tmp_path)).masks == {}
    assert not (tmp_path / "masks.safetensors").exists()


def test_labels_and_tokens_survive(tmp_path):
    bundle = tiny_bundle("roberta", labels=3)
    bundle.config.id2label = {0: "a", 1: "b", 2: "c"}
    bundle.config.label2id = {"a": 0, "b": 1, "c": 2}
    loaded = load(save(bundle, tmp_path))
    assert loaded.config.id2label == bundle.config.id2label
    assert loaded.config.label2id == bundle.config.label2id
    text = "the film is lovely, unheard-of"
    assert loaded.processor(text).data == bundle.processor(text).data


def test_a_tied_model_is_saved_once(tmp_path):
    bundle = tiny_bundle("t5")
    loaded = load(save(bundle, tmp_path))
    assert loaded.sketch() == bundle.sketch()
    assert (tmp_path / "model.safetensors").stat().st_size < bundle.sketch().bytes + 20_000


def test_a_model_with_foreign_parameters_is_not_saved_wrongly(tmp_path):
    bundle = tiny_bundle("bert")
    bundle.model.bert.encoder.layer[0].extra = torch.nn.Linear(2, 2)
    with pytest.raises(StageFailed, match="bert model cannot be saved"):
        save(bundle, tmp_path)


def test_saved_weights_may_be_replaced_while_the_model_is_open(tmp_path):
    loaded = load(save(tiny_bundle("bert"), tmp_path))
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (tmp_path / "model.safetensors").stat().st_size)
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
