"""Exact counts on the meta device, from the published shapes."""

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from compress.core.model.bundle import Bundle
from compress.factorize.dense import MergeFactors, to_dense
from compress.factorize.stage import Factorize
from compress.quantize.store_linears import StoreLinears
from tests.tiny.stages import predicted, refused

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
SHAPES = {
    "bert-base": (BertModel, BertConfig(), 109_482_240, 12, 768, 30_522),
    "bert-large": (BertModel, BertConfig(**LARGE), 335_141_888, 24, 1024, 30_522),
    "roberta-base": (RobertaModel, RobertaConfig(**ROBERTA), 124_645_632, 12, 768, 50_265),
}


def on_meta(name):
    kind, config, *_ = SHAPES[name]
    with torch.device("meta"):
        return Bundle(kind(config), None)


def guessed(bundle, **settings):
    stage = Factorize.model_validate({"recover": "none", **settings})
    sketch = bundle.sketch()
    assert refused(stage, sketch) is None
    return predicted(stage, bundle)


@pytest.mark.parametrize("name", SHAPES)
def test_counts_are_exact(name):
    _, _, count, layers, width, words = SHAPES[name]
    assert on_meta(name).sketch().parameters == count
    table = guessed(on_meta(name), what="embeddings", rank=128)
    assert table.sketch().parameters == count - words * width + 128 * (words + width)
    ranks = {"ratio": 0.5}
    low = guessed(on_meta(name), what="linears", rank=ranks)
    square, wide = width // 4, 2 * width // 5
    saved = layers * (4 * (width**2 - square * 2 * width) + 2 * (4 * width**2 - wide * 5 * width))
    assert low.sketch().parameters == count - saved
    some = guessed(on_meta(name), what="linears", rank=64, roles=["query", "up"])
    assert some.sketch().parameters == count - layers * (5 * width**2 - 64 * 7 * width)
    assert to_dense(low).sketch().parameters == count


def test_bert_base_with_a_table_of_128():
    """3.9 million for a vocabulary of 30,000, as ALBERT's paper has it."""
    found = guessed(on_meta("bert-base"), what="embeddings", rank=128).sketch()
    assert found.parameters == 90_046_464 and found.embedding_parameters == 30_522 * 128 + 514 * 768


def test_states_follow():
    low = guessed(on_meta("bert-base"), what="linears", rank=64)
    assert low.states == {"factorized"} and "factorized" in StoreLinears(storage="int8").forbids(low.sketch())
    assert predicted(MergeFactors(), low).states == frozenset()
