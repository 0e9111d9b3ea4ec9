"""Every family: what is saved loads again to the same bits, stock where stock can say it."""

from __future__ import annotations

import pytest
import torch

from compress.core.heads import keep_heads, keep_neurons
from compress.core.saving import load, save
from compress.core.surgery import keep_layers
from tests.contracts.cuts import some_heads, some_layers, some_neurons
from tests.contracts.test_surgery import logits
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle


def cut(bundle, part):
    family = bundle.family
    if part in family.refusals:
        pytest.skip(family.refusals[part])
    if part == "heads":
        keep_heads(bundle.model, family, some_heads(bundle))
    elif part == "neurons":
        keep_neurons(bundle.model, family, some_neurons(bundle))
    else:
        keep_layers(bundle.model, family, some_layers(bundle))


@pytest.mark.parametrize("name", FAMILIES)
def test_one_cut_after_another_loads_again_to_the_bit(name, tmp_path):
    bundle = tiny_bundle(name)
    for number, part in enumerate(("heads", "neurons", "layers")):
        if part in bundle.family.refusals:
            continue
        cut(bundle, part)
        expected = logits(bundle)
        bundle = load(save(bundle, tmp_path / str(number)))
        assert bundle.family.model_type == name
        assert torch.equal(logits(bundle), expected)
