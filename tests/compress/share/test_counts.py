"""What sharing saves, to the parameter, and what it does not."""

from __future__ import annotations

import pytest

from compress.core.model.sketch import Sketch
from compress.share.groups import even_groups
from compress.share.stage import Share
from tests.compress.share.given import LARGE, PARTS, ROBERTA, model_on_meta, shared, trained
from tests.tiny.stages import predicted

# A block of BERT-base has 7,087,872 parameters, 2,363,904 of them in its attention and the norm behind it.
COUNTS = [
    ("Bert", {}, 109_482_240, 7_087_872, 2_363_904),
    ("Bert", LARGE, 335_141_888, 12_596_224, 4_200_448),
    ("Roberta", ROBERTA, 124_645_632, 7_087_872, 2_363_904),
]


@pytest.mark.parametrize("case", COUNTS, ids=["bert-base", "bert-large", "roberta-base"])
def test_exact_counts(case):
    name, config, whole, block, attention = case
    for what, part in (("all", block), ("attention", attention), ("ffn", block - attention)):
        for groups in (1, 3):
            bundle = model_on_meta(name, **config)
            layers = bundle.sketch().layers
            assert bundle.sketch().parameters == whole
            stage = Share(what=what, groups=groups, recover=None)
            after = predicted(stage, bundle).sketch()
            assert after.parameters == whole - (layers - groups) * part
            assert after.bytes == 4 * after.parameters and after.layers == layers


def test_published_counts_of_albert_at_the_embedding_width_of_bert():
    """31, 83 and 57 million: Lan et al. 2020, table 4, E = 768."""
    found = {}
    for what in PARTS:
        bundle = model_on_meta("Bert")
        stage = Share(what=what, recover=None)
        found[what] = predicted(stage, bundle).sketch().parameters
    assert found == {"all": 31_515_648, "attention": 83_479_296, "ffn": 57_518_592}


def test_groups_are_those_of_transformers():
    for layers in range(1, 65):
        for groups in range(1, layers + 1):
            found = even_groups(layers, groups)
            assert [n for group in found for n in group] == list(range(layers)) and all(found)
            assert all(int(n / (layers / groups)) == number for number, group in enumerate(found) for n in group)


def test_a_sketch_counts_what_is_shared_once():
    bundle = shared(groups=1)
    unique = {id(p): p.numel() for p in bundle.model.parameters()}
    assert Sketch.of(bundle.model, bundle.family).parameters == sum(unique.values())


def test_sharing_costs_the_same_to_run():
    from recipes.plan.flops import forward_flops

    plain = trained()
    whole = forward_flops(plain.model, length=16)
    assert whole and forward_flops(shared(groups=1).model, length=16) == whole
