"""Prefix: trained keys and values that every query of a block may attend to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.core.errors import InputError

__all__ = ["Prefix", "Redirected", "attend", "register", "widened"]

NAME = "trimformer_prefix"


class Prefix(nn.Module):
    """Prefix of `length` keys and values of one block; a child of the attention module.

    Args:
        length: number of keys, and of values.
        width: features of all heads together.
    """

    def __init__(self, length: int, width: int):
        super().__init__()
        self.key = nn.Parameter(torch.empty(length, width))
        self.value = nn.Parameter(torch.empty(length, width))
        for table in self.parameters():
            nn.init.normal_(table, std=0.02)

    def forward(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, heads, length of the prefix and of the input, head size), twice."""
        return torch.cat([_heads(self.key, key), key], dim=2), torch.cat([_heads(self.value, value), value], dim=2)


class Redirected:
    """Configuration for an attention module: the same values, except that its attention function is `attend`."""

    _attn_implementation = NAME

    def __init__(self, config: Any):
        self.config = config

    def __getattr__(self, name: str) -> Any:
        if name == "config" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.config, name)


def register() -> None:
    """Let transformers' attention modules find `attend` under the name that `Redirected` gives."""
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention of the family, with the prefix's keys and values before the input's.

    Every query attends to the prefix. It has no position: it is added after the rotation, and its position bias is 0.

    Args:
        module: the attention, with a `Prefix` as a child.
        query: (batch, heads, queries, head size).
        key: (batch, heads, keys, head size).
        value: (batch, heads, keys, head size).
        attention_mask: bool or additive, (batch, 1, queries, keys), or None.
        kwargs: of the family's own attention function.
    """
    implementation = module.config.config._attn_implementation
    length = len(module.prefix.key)
    if attention_mask is None and implementation == "sdpa" and kwargs.get("is_causal", module.is_causal):
        attention_mask = _causal(query, key)
    if kwargs.get("position_bias") is not None:
        kwargs["position_bias"] = widened(kwargs["position_bias"], length, 0.0)
    if attention_mask is not None:
        attention_mask = widened(attention_mask, length, attention_mask.dtype == torch.bool)
    key, value = module.prefix(key, value)
    return _own(module, implementation)(module, query, key, value, attention_mask, **kwargs)


def widened(scores: Tensor, length: int, value: float) -> Tensor:
    """Mask or bias with columns for the prefix in front, (..., queries, length + keys).

    Args:
        scores: (..., queries, keys).
        length: of the prefix.
        value: of the new columns.
    """
    return functional.pad(scores, (length, 0), value=value)


def _own(module: Any, implementation: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The function that the family attends by without a prefix."""
    import sys

    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if implementation not in ("eager", "sdpa"):
        raise InputError(
            "a prefix needs attention of the kind `eager` or `sdpa`",
            given=implementation,
            advice="call model.set_attn_implementation('sdpa')",
        )
    stock = next(cls for cls in type(module).__mro__ if cls.__module__.startswith("transformers."))
    eager = sys.modules[stock.__module__].__dict__["eager_attention_forward"]
    return cast(Any, eager if implementation == "eager" else ALL_ATTENTION_FUNCTIONS["sdpa"])


def _causal(query: Tensor, key: Tensor) -> Tensor:
    queries, keys = query.shape[2], key.shape[2]
    there = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
    return there.tril(keys - queries)[None, None]


def _heads(table: Tensor, like: Tensor) -> Tensor:
    """(length, width) as the (batch, heads, length, head size) of `like`."""
    batch, heads, _, size = like.shape
    return table.to(like.dtype).view(len(table), heads, size).transpose(0, 1).expand(batch, -1, -1, -1)
