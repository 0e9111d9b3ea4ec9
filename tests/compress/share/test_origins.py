"""What the tensors of a group begin with."""

from __future__ import annotations

import pytest
import torch

from compress.core.errors import InputError
from compress.core.model.sharing import is_shared, mean_of
from compress.core.stage.context import Context
from compress.share.origins.first import First
from compress.share.origins.mean import Mean
from compress.share.origins.pick import Pick, relative_error
from tests.compress.distill.stub import stub_context
from tests.compress.share.given import PAIRS, shared, trained
from tests.tiny import tiny_logits


def test_where_a_groups_tensors_come_from():
    bundle, ctx = trained(), stub_context()
    blocks = bundle.family.module_list(bundle.model)
    assert First().sources(bundle, PAIRS, "all", ctx) == ((0,), (2,))
    assert Mean().sources(bundle, PAIRS, "all", ctx) == PAIRS
    first = blocks[0].output.dense.weight.detach().clone()
    mean = (first.double() + blocks[1].output.dense.weight.double()) / 2
    assert torch.equal(shared(by=First()).family.module_list(shared(by=First()).model)[1].output.dense.weight, first)
    found = shared(by=Mean())
    assert torch.equal(found.family.module_list(found.model)[1].output.dense.weight, mean.float())


def test_pick_takes_the_block_that_moves_the_last_layer_least():
    bundle, ctx = trained(), stub_context()
    blocks = bundle.family.module_list(bundle.model)
    # Two of three blocks are one, so each of them stands for the group better than the third does.
    blocks[2].load_state_dict(blocks[1].state_dict())
    before = tiny_logits(bundle)
    found = Pick(batches=1, batch_size=16).sources(bundle, ((0, 1, 2), (3,)), "all", ctx)
    assert found in (((1,), (3,)), ((2,), (3,)))
    errors = ctx.facts["error_as_shared"]
    assert errors[0][1] == errors[0][2] < errors[0][0] and errors[1] == [0.0]
    assert torch.equal(tiny_logits(bundle), before) and not is_shared(bundle.model, bundle.family)


def test_the_error_leaves_padding_out():
    expected, tokens = torch.ones(1, 3, 2), torch.tensor([[True, True, False]])
    found = expected + torch.tensor([[[1.0, 0.0], [0.0, 0.0], [float("nan"), 0.0]]])
    assert relative_error(found, expected, tokens) == 0.25


def test_pick_works_on_every_family_and_needs_rows():
    for name in ("t5", "gpt2", "modernbert", "deberta-v2", "vit"):
        bundle = trained(name)
        found = Pick(batches=1, batch_size=4).sources(bundle, PAIRS, "ffn", _any_context())
        assert [len(source) for source in found] == [1, 1]
    with pytest.raises(InputError, match="pick needs rows"):
        Pick().sources(trained(), PAIRS, "all", Context(batches=lambda *_, **__: iter(())))


def _any_context():
    from tests.tiny import tiny_inputs

    return Context(batches=lambda bundle, **_: iter([tiny_inputs(bundle)]))


def test_the_mean_of_equal_tensors_is_that_tensor():
    tensor = torch.randn(7, 5, generator=torch.manual_seed(0))
    assert torch.equal(mean_of([tensor] * 3), tensor)
