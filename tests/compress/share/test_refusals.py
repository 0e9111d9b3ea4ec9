"""Which models and groups cannot share, and what shared blocks cannot do."""

from __future__ import annotations

import pytest

from compress.core.errors import InputError, Refusal
from compress.core.families.family import family_of
from compress.core.model.sharing import share_blocks
from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
from compress.prune.stage import Prune
from compress.share.stage import Share, Untie
from tests.compress.share.given import NAMES, shared, trained
from tests.tiny import FAMILIES, tiny_bundle
from tests.tiny.stages import refused


def test_every_family_but_albert_has_blocks_to_share():
    assert set(FAMILIES) - set(NAMES) == {"albert"}
    with pytest.raises(Refusal, match="one block runs for all layers already"):
        share_blocks(tiny_bundle("albert").model, family_of("albert"), what="all", groups=((0,),), sources=((0,),))
    assert "one block runs" in refused(Share(recover=None), tiny_bundle("albert").sketch())


def test_blocks_of_different_shapes_are_refused():
    bundle = trained()
    keep_neurons(bundle.model, bundle.family, tuple(tuple(range(n)) for n in (8, 8, 8, 9)))
    sketch = bundle.sketch()
    assert "8, 9 neurons" in refused(Share(groups=2), sketch)
    assert refused(Share(groups=3), sketch) is None
    assert refused(Share(groups=2, what="attention"), sketch) is None
    keep_heads(bundle.model, bundle.family, ((0, 1), (0,), (0, 1), (0, 1)))
    assert "2, 1 heads" in refused(Share(groups=2, what="attention"), bundle.sketch())
    with pytest.raises(Refusal, match=r"different shapes cannot share.*intermediate.dense.weight.* in block 2"):
        share_blocks(bundle.model, bundle.family, what="ffn", groups=((2, 3),), sources=((2,),))


@pytest.mark.parametrize(
    ("groups", "sources"),
    [(((0, 4),), ((0,),)), (((0, 1), (1, 2)), ((0,), (1,))), (((0, 1),), ((2,),)), (((0, 1),), ()), (((0, 1),), ((),))],
)
def test_impossible_groups_are_named(groups, sources):
    bundle = trained()
    with pytest.raises(InputError, match="groups of blocks are numbers from 0 to 3"):
        share_blocks(bundle.model, bundle.family, what="all", groups=groups, sources=sources)


@pytest.mark.parametrize(
    ("settings", "states", "message"),
    [
        ({"groups": 4}, ["head_trained"], "4 groups of 4 layers share nothing"),
        ({}, [], "its head is not trained"),
        ({}, ["head_trained", "shared"], "`untie`"),
        ({}, ["head_trained", "masked"], "permanent"),
        ({}, ["head_trained", "quantized"], "quantized"),
    ],
)
def test_refusals_say_why(settings, states, message):
    bundle = trained()
    bundle.states = frozenset(states)
    assert message in refused(Share(**settings), bundle.sketch())


def test_what_needs_blocks_of_its_own_refuses_and_says_untie():
    from finetune.methods.bitfit import Bitfit
    from finetune.methods.ia3 import Ia3
    from finetune.methods.lora import Lora
    from finetune.stage import Finetune

    sketch = shared().sketch()
    stages = [
        Prune(pattern="heads", sparsity=0.5),
        Finetune(method=Lora()),
        Finetune(method=Ia3()),
        Finetune(method=Bitfit(), base="int8"),
    ]
    for stage in stages:
        assert "untie" in refused(stage, sketch)
    assert refused(Finetune(method=Bitfit()), sketch) is None
    assert "leave the stage out" in refused(Untie(), trained().sketch())
    assert refused(Untie(), sketch) is None and not Untie().requires().data
