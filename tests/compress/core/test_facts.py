"""Published numbers of parameters, on the meta device: the paths of the records lead where they should."""

from __future__ import annotations

import pytest
import torch
import transformers

from compress.core.families.family import base_model, family_of
from compress.core.model.sketch import Sketch

PARAMETERS = {
    ("Bert", ()): 109_482_240,
    ("DistilBert", ()): 66_362_880,
    ("Albert", (("hidden_size", 768), ("num_attention_heads", 12), ("intermediate_size", 3072))): 11_683_584,
    (
        "Albert",
        (("hidden_size", 768), ("num_attention_heads", 12), ("intermediate_size", 3072), ("vocab_size", 30_522)),
    ): 11_750_400,
    ("GPT2", ()): 124_439_808,
    ("T5", ()): 60_506_624,
    ("ViT", ()): 86_389_248,
}


def on_meta(name: str, **config: int) -> torch.nn.Module:
    with torch.device("meta"):
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config))


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
def test_parameters_of_known_models(case):
    name, config = case
    model = on_meta(name, **dict(config))
    sketch = Sketch.of(model, family_of(model.config.model_type))
    assert sketch.parameters == PARAMETERS[case]
    assert sketch.bytes == 4 * sketch.parameters


def test_bert_base_in_a_sketch():
    sketch = Sketch.of(on_meta("Bert"), family_of("bert"))
    assert (sketch.layers, sketch.hidden, sketch.head_size) == (12, 768, 64)
    assert sketch.heads == (12,) * 12
    assert sketch.neurons == (3072,) * 12
    assert sketch.embedding_parameters == (30_522 + 512 + 2) * 768


def test_bert_base_has_the_biases_that_bitfit_counts():
    named = on_meta("Bert").named_parameters()
    assert sum(parameter.numel() for name, parameter in named if name.endswith("bias")) == 102_912


def test_the_base_of_a_base_is_itself():
    model = on_meta("Bert")
    assert base_model(model) is model
