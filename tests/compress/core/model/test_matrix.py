"""The (out, in) view agrees with what a module computes, fused or not."""

from __future__ import annotations

import pytest
import torch

from compress.core.model.matrix import matrix, part_matrix, rows_of
from tests.tiny import tiny_bundle


def test_conv1d_and_linear_show_the_same_side():
    gpt2, bert = tiny_bundle("gpt2"), tiny_bundle("bert")
    for bundle in (gpt2, bert):
        up = next(bundle.family.block_parts(bundle.model, "up"))
        given = torch.randn(3, 32)
        torch.testing.assert_close(up(given), given @ matrix(up).T + up.bias)
        assert matrix(up, torch.ones_like(up.weight)).shape == matrix(up).shape == (48, 32)


@pytest.mark.parametrize(
    ("name", "fused"), [("gpt2", "attn.c_attn"), ("modernbert", "attn.Wqkv"), ("deberta", "attention.self.in_proj")]
)
def test_query_key_and_value_are_found_in_a_fused_linear(name, fused):
    bundle = tiny_bundle(name)
    block = bundle.family.module_list(bundle.model)[0]
    module = block.get_submodule(fused)
    given = torch.randn(2, 5, 32)
    with torch.no_grad():
        whole = module(given)
        if module.bias is not None:
            whole = whole - module.bias
        if name == "deberta":
            parts = whole.view(2, 5, 4, -1).chunk(3, dim=-1)
        else:
            parts = [part.view(2, 5, 4, 8) for part in whole.chunk(3, dim=-1)]
        for role, expected in zip(("query", "key", "value"), parts):
            ours = given @ part_matrix(block, bundle.family, role, head_size=8).T
            torch.testing.assert_close(ours.view(2, 5, 4, 8), expected)


def test_gate_and_up_are_found_in_a_fused_linear():
    bundle = tiny_bundle("modernbert")
    block = bundle.family.module_list(bundle.model)[0]
    activated, other = block.mlp.Wi.weight.chunk(2)
    assert torch.equal(part_matrix(block, bundle.family, "gate"), activated)
    assert torch.equal(part_matrix(block, bundle.family, "up"), other)


def test_a_gradient_is_seen_like_its_weight():
    bundle = tiny_bundle("gpt2")
    block = bundle.family.module_list(bundle.model)[0]
    block.attn.c_attn.weight.grad = block.attn.c_attn.weight.detach() * 2
    weight = part_matrix(block, bundle.family, "key")
    assert torch.equal(part_matrix(block, bundle.family, "key", gradient=True), weight * 2)


def test_rows_of_units():
    assert rows_of((1,), size=2, of=3).tolist() == [2, 3]
    assert rows_of((0, 2), size=1, of=3, stacked=2).tolist() == [0, 2, 3, 5]
    assert rows_of((1,), size=2, of=2, interleaved=3).tolist() == [6, 7, 8, 9, 10, 11]


def test_a_gated_t5_uses_its_other_names():
    bundle = tiny_bundle("t5", feed_forward_proj="gated-gelu", is_gated_act=True)
    block = bundle.family.module_list(bundle.model)[0]
    assert bundle.family.path(block, "up").endswith("wi_1")
    assert part_matrix(block, bundle.family, "gate").shape == (48, 32)
