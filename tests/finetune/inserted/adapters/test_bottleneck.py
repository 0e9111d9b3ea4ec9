"""The adapter computes what its formula says, in fp32 whatever it is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from finetune.inserted.adapters.bottleneck import Bottleneck


def bottleneck(init_std: float | None = 0.5, scaling: float = 1.0, **settings) -> Bottleneck:
    torch.manual_seed(0)
    made = {"activation": "gelu", "owner": "test", **settings}
    return Bottleneck(6, 3, init_std=init_std, scaling=scaling, **made)


def test_it_is_two_projections_around_an_activation() -> None:
    adapter, x = bottleneck(scaling=4.0), torch.randn(2, 5, 6)
    inside = nn.functional.gelu(x @ adapter.down.weight.T + adapter.down.bias)
    torch.testing.assert_close(adapter(x), 4 * (inside @ adapter.up.weight.T + adapter.up.bias))


@pytest.mark.parametrize(
    ("name", "function"), [("relu", torch.relu), ("silu", nn.functional.silu), ("tanh", torch.tanh)]
)
def test_activations_by_name(name: str, function) -> None:
    adapter, x = bottleneck(activation=name), torch.randn(4, 6)
    torch.testing.assert_close(adapter(x), adapter.up(function(adapter.down(x))))


def test_the_normal_start_is_cut_at_two_deviations() -> None:
    adapter = Bottleneck(200, 100, activation="gelu", owner="test", init_std=1e-3)
    for linear in (adapter.down, adapter.up):
        assert float(linear.weight.detach().abs().max()) <= 2e-3
        # A normal distribution cut at two deviations has 0.88 of its deviation left.
        assert float(linear.weight.detach().std()) == pytest.approx(0.88e-3, rel=0.02)
        assert not linear.bias.any()


def test_the_start_of_lora_adds_nothing() -> None:
    adapter = bottleneck(init_std=None)
    assert not adapter(torch.randn(3, 6)).any()
    bound = 6**-0.5
    assert 0.5 * bound < float(adapter.down.weight.detach().abs().max()) <= bound


def test_it_takes_half_precision_with_autocast_and_without() -> None:
    adapter, x = bottleneck(), torch.randn(3, 6)
    expected = adapter(x)
    without = adapter(x.bfloat16())
    assert without.dtype == torch.float32
    torch.testing.assert_close(without, expected, atol=0.02, rtol=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        found = adapter(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    found.float().sum().backward()
    assert adapter.up.weight.grad is not None and adapter.up.weight.grad.dtype == torch.float32
