"""Exactly which parameters each method trains, on full-size models without weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from compress.core.checkpoint.open import quiet
from compress.core.model.bundle import Bundle
from finetune.method import Method
from finetune.methods.bitfit import Bitfit
from finetune.methods.layer_norm import LayerNorm
from finetune.parameters.names import head_names, norm_names, role_biases
from tests.tiny import tiny_bundle

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ALBERT_BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
ROBERTA_BASE = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
BIASES = [
    ("bert", {}, 102_912),
    ("bert", LARGE, 272_384),
    ("roberta", ROBERTA_BASE, 102_144),
    ("distilbert", {}, 51_456),
    ("albert", ALBERT_BASE, 10_112),
    ("vit", {}, 102_912),
    ("electra", {}, 34_176),
    ("gpt2", {}, 102_144),
]


def on_meta(model_type: str, **config: Any) -> Bundle:
    from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

    auto = AutoModelForImageClassification if model_type == "vit" else AutoModelForSequenceClassification
    with torch.device("meta"), quiet():
        return Bundle(auto.from_config(AutoConfig.for_model(model_type, **config)), None)


def trained_in_the_encoder(method: Method, bundle: Bundle) -> int:
    names = method.trainable(bundle)
    head = head_names(bundle)
    assert head <= names
    return sum(p.numel() for name, p in bundle.model.named_parameters() if name in names - head)


@pytest.mark.parametrize(("model_type", "config", "expected"), BIASES)
def test_bitfit_trains_exactly_the_biases(model_type: str, config: dict[str, Any], expected: int) -> None:
    assert trained_in_the_encoder(Bitfit(), on_meta(model_type, **config)) == expected


def test_the_smaller_set_is_query_and_intermediate() -> None:
    assert trained_in_the_encoder(Bitfit(biases="query_and_up"), on_meta("bert")) == 12 * (768 + 3072)


def test_layer_norm_trains_exactly_the_norms() -> None:
    assert trained_in_the_encoder(LayerNorm(), on_meta("bert")) == 38_400


def test_modernbert_gets_biases_on_the_meta_device_too() -> None:
    bundle = on_meta("modernbert")
    assert trained_in_the_encoder(Bitfit(), bundle) == 0
    bundle = bundle.changed_by(Bitfit().change(bundle.sketch()))
    width, layers, up = 768, 22, 2 * 1152
    # Wqkv, Wo, Wi, Wo; two norms in each layer but the first, which has one; the embeddings' and the last.
    expected = layers * (3 * width + width + up + width) + (2 * layers - 1 + 2) * width
    assert trained_in_the_encoder(Bitfit(), bundle) == expected


def test_a_pooler_belongs_to_the_head_where_the_checkpoint_has_none() -> None:
    bundle = tiny_bundle("bert")
    assert head_names(bundle) == {"classifier.weight", "classifier.bias"}
    bundle.fresh = frozenset({"bert.pooler.dense.weight", "bert.pooler.dense.bias"})
    assert head_names(bundle) == {"classifier.weight", "classifier.bias", *bundle.fresh}


def test_norms_of_other_classes_count() -> None:
    assert len(norm_names(tiny_bundle("t5"))) == (2 * 4 + 1) + (3 * 2 + 1)
    assert len(norm_names(tiny_bundle("deberta"))) == 2 * (1 + 2 * 4)
    assert not role_biases(tiny_bundle("t5"), "query")
