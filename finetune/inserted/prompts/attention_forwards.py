"""Attention with a prefix for families whose attention module calls no pluggable attention function."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from compress.core.errors import InputError
from finetune.inserted.prompts.prefix import widened

__all__ = ["takes_functions", "with_prefix"]

Forward = Callable[..., tuple[Tensor, Tensor | None] | tuple[Tensor, ...]]


def takes_functions(attention: object) -> bool:
    """Whether the attention module calls a function that transformers finds by the configuration's name for it."""
    import sys

    return hasattr(sys.modules[type(attention).__module__], "ALL_ATTENTION_FUNCTIONS")


@cache
def with_prefix(stock: type) -> type:
    """Subclass of an attention class that uses the prefix that is its child; deep copies keep the class.

    Raises:
        InputError: the attention is none of those that are written out here.
    """
    forward = _forwards().get(stock)
    if forward is None:
        raise InputError(
            "no prefix can go into this attention: it takes no function from outside, and is not written out here",
            given=f"{stock.__module__}.{stock.__name__}",
        )
    return type(stock.__name__, (stock,), {"forward": forward, "__module__": stock.__module__})


def _forwards() -> dict[type, Forward]:
    from transformers.models.deberta.modeling_deberta import DisentangledSelfAttention as Deberta
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention as DebertaV2
    from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention

    return {MPNetSelfAttention: mpnet, Deberta: deberta, DebertaV2: deberta_v2}


def mpnet(
    self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Tensor | None = None,
    output_attentions: bool = False, **_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    """MPNet's self-attention with a prefix, its output's linear included; the position bias is 0 at the prefix.

    Args:
        self: the attention module.
        hidden_states: (batch, tokens, hidden size).
        attention_mask: additive, (batch, 1, 1, tokens), or None.
        position_bias: added to the scores, (1, heads, tokens, tokens), or None.
        output_attentions: whether to return the probabilities too.
    """
    shape = (*hidden_states.shape[:-1], -1, self.attention_head_size)
    query, key, value = (linear(hidden_states).view(shape).transpose(1, 2) for linear in (self.q, self.k, self.v))
    key, value = self.prefix(key, value)
    scores = query @ key.transpose(-1, -2) / math.sqrt(self.attention_head_size)
    for bias in (position_bias, attention_mask):
        if bias is not None:
            scores = scores + widened(bias, len(self.prefix.key), 0.0)
    weights = self.dropout(scores.softmax(-1))
    output = self.o((weights @ value).transpose(1, 2).flatten(2))
    return (output, weights) if output_attentions else (output,)


def deberta(
    self: Any, hidden_states: Tensor, attention_mask: Tensor, output_attentions: bool = False,
    query_states: Tensor | None = None, relative_pos: Tensor | None = None, rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """DeBERTa's self-attention with a prefix; content and position are disentangled between tokens of the input only.

    Args:
        self: the attention module.
        hidden_states: (batch, tokens, hidden size).
        attention_mask: 0 or 1, 1 where attended, (batch, 1, tokens, tokens).
        output_attentions: whether to return the probabilities too.
        query_states: must be None.
        relative_pos: relative positions, as the encoder gives them.
        rel_embeddings: of relative positions, (positions, hidden size).
    """
    _refuse_other(query_states)
    query, key, value = self.transpose_for_scores(self.in_proj(hidden_states)).chunk(3, dim=-1)
    query = query + self.transpose_for_scores(self.q_bias[None, None, :])
    value = value + self.transpose_for_scores(self.v_bias[None, None, :])
    factor = 1 + len(self.pos_att_type)
    query = query / math.sqrt(query.shape[-1] * factor)
    keys, values = self.prefix(key, value)
    scores = query @ keys.transpose(-1, -2)
    if self.relative_attention and rel_embeddings is not None and relative_pos is not None:
        table = self.pos_dropout(rel_embeddings)
        bias = self.disentangled_att_bias(query, key, relative_pos, table, factor)
        scores = scores + widened(bias, len(self.prefix.key), 0.0)
    if self.head_logits_proj is not None:
        scores = self.head_logits_proj(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    weights = self.dropout(_masked(scores, attention_mask, len(self.prefix.key)).softmax(-1))
    if self.head_weights_proj is not None:
        weights = self.head_weights_proj(weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return (weights @ values).transpose(1, 2).flatten(2), weights if output_attentions else None


def deberta_v2(
    self: Any, hidden_states: Tensor, attention_mask: Tensor, output_attentions: bool = False,
    query_states: Tensor | None = None, relative_pos: Tensor | None = None, rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Self-attention of DeBERTa v2 and v3 with a prefix.

    Args:
        self: the attention module.
        hidden_states: (batch, tokens, hidden size).
        attention_mask: 0 or 1, 1 where attended, (batch, 1, tokens, tokens).
        output_attentions: whether to return the probabilities too.
        query_states: must be None.
        relative_pos: relative positions, as the encoder gives them.
        rel_embeddings: of relative positions, (positions, hidden size).
    """
    _refuse_other(query_states)
    heads = self.num_attention_heads
    query, key, value = (
        self.transpose_for_scores(linear(hidden_states), heads)
        for linear in (self.query_proj, self.key_proj, self.value_proj)
    )
    factor = 1 + ("c2p" in self.pos_att_type) + ("p2c" in self.pos_att_type)
    keys, values = self.prefix(*(part.unflatten(0, (-1, heads)) for part in (key, value)))
    scores = query.unflatten(0, (-1, heads)) @ (keys.transpose(-1, -2) / math.sqrt(query.shape[-1] * factor))
    if self.relative_attention:
        table = self.pos_dropout(rel_embeddings)
        bias = self.disentangled_attention_bias(query, key, relative_pos, table, factor)
        scores = scores + widened(bias.view(-1, heads, *bias.shape[-2:]), len(self.prefix.key), 0.0)
    weights = self.dropout(_masked(scores, attention_mask, len(self.prefix.key)).softmax(-1))
    return (weights @ values).transpose(1, 2).flatten(2), weights if output_attentions else None


def _masked(scores: Tensor, attention_mask: Tensor, length: int) -> Tensor:
    there = widened(attention_mask.bool(), length, True)
    return scores.masked_fill(~there, torch.finfo(scores.dtype).min)


def _refuse_other(query_states: Tensor | None) -> None:
    if query_states is not None:
        raise InputError("a prefix goes with attention whose queries and keys are of the same tokens")
