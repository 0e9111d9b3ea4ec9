"""Blocks with adapters, written out from the papers with plain tensors, give the same numbers as ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from compress.core.model.bundle import Bundle
from finetune.inserted.adapters.bottleneck import Bottleneck
from finetune.method import Method
from finetune.methods.houlsby import Houlsby
from finetune.methods.parallel import Parallel
from finetune.methods.pfeiffer import Pfeiffer
from tests.tiny import tiny_bundle, tiny_inputs

HEADS, EPS = 4, 1e-12
Weights = dict[str, Tensor]
Adapter = Callable[[Tensor], Tensor]
Adapters = dict[str, Adapter]


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + EPS)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def attention(x: Tensor, w: Weights, query: str, key: str, value: str) -> Tensor:
    def heads(name: str) -> Tensor:
        return linear(x, w, name).unflatten(-1, (HEADS, -1)).transpose(1, 2)

    q, k, v = heads(query), heads(key), heads(value)
    weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(-2)


def nothing(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def bert_block(x: Tensor, w: Weights, method: Method, adapters: Adapters) -> Tensor:
    """Houlsby et al., figure 2; Pfeiffer et al. 2020 (MAD-X), eq. 1; He et al., table 1 and section 4.6."""
    in_attention, in_ffn = adapters.get("attention", nothing), adapters.get("ffn", nothing)
    parallel, houlsby, pfeiffer = (isinstance(method, kind) for kind in (Parallel, Houlsby, Pfeiffer))
    names = [f"attention.self.{part}" for part in ("query", "key", "value")]
    h = linear(attention(x, w, *names), w, "attention.output.dense")
    if houlsby:
        h = in_attention(h) + h
    if parallel:
        h = h + 4 * in_attention(x)
    x = norm(h + x, w, "attention.output.LayerNorm")
    h = linear(F.gelu(linear(x, w, "intermediate.dense")), w, "output.dense")
    if houlsby:
        h = in_ffn(h) + h
    if parallel:
        h = h + 4 * in_ffn(x)
    if pfeiffer:
        residual, h = h, norm(h + x, w, "output.LayerNorm")
        h = in_ffn(h) + residual
    return norm(h + x, w, "output.LayerNorm")


def vit_block(x: Tensor, w: Weights, method: Method, adapters: Adapters) -> Tensor:
    """The same where norms stand before the sub-layers: what is added reads or follows the sub-layer."""
    in_attention, in_ffn = adapters.get("attention", nothing), adapters.get("ffn", nothing)
    normed = norm(x, w, "layernorm_before")
    h = linear(attention(normed, w, *(f"attention.{part}_proj" for part in "qkv")), w, "attention.o_proj")
    x = x + h + (4 * in_attention(normed) if isinstance(method, Parallel) else in_attention(h))
    normed = norm(x, w, "layernorm_after")
    h = linear(F.gelu(linear(normed, w, "mlp.fc1")), w, "mlp.fc2")
    return x + h + (4 * in_ffn(normed) if isinstance(method, Parallel) else in_ffn(h))


def plain(adapter: Bottleneck, activation: Callable[[Tensor], Tensor]) -> Adapter:
    down, up = (adapter.down.weight, adapter.down.bias), (adapter.up.weight, adapter.up.bias)
    return lambda x: activation(x @ down[0].T + down[1]) @ up[0].T + up[1]


def with_strong_adapters(name: str, method: Method) -> tuple[Bundle, list[Bottleneck]]:
    bundle = tiny_bundle(name)
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    adapters = [module for module in bundle.model.modules() if isinstance(module, Bottleneck)]
    torch.manual_seed(1)
    for adapter in adapters:
        for parameter in adapter.parameters():
            parameter.data.normal_(std=0.3)
    return bundle, adapters


def weights_of(name: str, prefix: str) -> Weights:
    state = tiny_bundle(name).model.state_dict()
    return {path.removeprefix(prefix): value for path, value in state.items() if path.startswith(prefix)}


METHODS: list[tuple[Method, tuple[str, ...]]] = [
    (Houlsby(width=8), ("attention", "ffn")),
    (Houlsby(width=8, placement="ffn"), ("ffn",)),
    (Houlsby(width=8, placement="attention", activation="tanh"), ("attention",)),
    (Pfeiffer(reduction=8), ("ffn",)),
    (Parallel(width=8), ("ffn",)),
    (Parallel(width=8, placement="attention"), ("attention",)),
    (Parallel(width=8, placement="both"), ("attention", "ffn")),
]
FUNCTIONS = {"gelu": F.gelu, "relu": torch.relu, "tanh": torch.tanh}


@pytest.mark.parametrize("name", ["bert", "vit"])
@pytest.mark.parametrize(("method", "places"), METHODS)
@torch.no_grad()
def test_hidden_states_are_those_of_the_paper(method: Method, places: tuple[str, ...], name: str) -> None:
    bundle, adapters = with_strong_adapters(name, method)
    base, inputs = bundle.model.base_model, tiny_inputs(bundle, rows=1)
    inputs.pop("attention_mask", None)
    states = base(**inputs, output_hidden_states=True).hidden_states
    assert len(adapters) == 4 * len(places)
    x, untouched = states[0], tiny_bundle(name).model.base_model(**inputs, output_hidden_states=True).hidden_states
    torch.testing.assert_close(x, untouched[0])
    block, prefix = (bert_block, "bert.encoder.layer") if name == "bert" else (vit_block, "vit.layers")
    for number in range(4):
        own = adapters[number * len(places) : (number + 1) * len(places)]
        function = FUNCTIONS[method.activation]  # type: ignore[attr-defined]
        given = {place: plain(adapter, function) for place, adapter in zip(places, own)}
        x = block(x, weights_of(name, f"{prefix}.{number}."), method, given)
        torch.testing.assert_close(states[number + 1], x, atol=2e-5, rtol=2e-5)
    assert not torch.allclose(states[-1], untouched[-1], atol=0.1)
