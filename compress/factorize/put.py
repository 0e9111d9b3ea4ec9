"""Replacing a dense layer by a factorized one, and back; on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.families.family import base_model
from compress.core.layers.low_rank import (
    FactorizedEmbedding,
    FactorizedOutput,
    LowRankLinear,
    factorize_table,
    forget_projections,
)
from compress.core.model.config import built_config, stock_class
from compress.core.model.wrapping import put

__all__ = ["put_linear", "put_table", "set_factors", "to_one_matrix", "twins"]

Pair = tuple[Tensor, Tensor]
"""(out, rank) and (rank, in)."""


def put_linear(model: nn.Module, path: str, rank: int) -> LowRankLinear:
    """Replace a dense linear by a low-rank one, whose factors are still to be set.

    Other linears that share the weight get the same factors, each with its own bias.

    Args:
        model: changed in place.
        path: of the linear, from the base model.
        rank: from 1 on.
    """
    linear = base_model(model).get_submodule(path)
    new = LowRankLinear.like(linear, rank)
    for twin in twins(model, linear):
        other = LowRankLinear.like(twin, rank)
        other.reduce.weight, other.expand.weight = new.reduce.weight, new.expand.weight
        put(model, twin, other)
    put(model, linear, new)
    return new


def put_table(model: nn.Module, path: str, rank: int) -> FactorizedEmbedding:
    """Replace an embedding, and every output layer tied to it, by a factorized one, whose factors are still to be set.

    Args:
        model: changed in place.
        path: of the embedding, from the base model.
        rank: from 1 on.
    """
    table: Any = base_model(model).get_submodule(path)
    return factorize_table(model, table, rank)


@torch.no_grad()
def set_factors(module: LowRankLinear | FactorizedEmbedding, factors: Pair) -> None:
    """Copy factors into a module.

    Args:
        module: a low-rank layer.
        factors: (out, rank) and (rank, in); of an embedding (vocabulary, rank) and (rank, width).
    """
    left, right = factors
    if isinstance(module, LowRankLinear):
        module.expand.weight.copy_(left)
        module.reduce.weight.copy_(right)
    else:
        module.weight.copy_(left)
        module.projection.weight.copy_(right.T)


def to_one_matrix(model: nn.Module) -> None:
    """Merge all factors of `model` in place: dense linears, embeddings and output layers, each weight the product of
    its factors, rounded once.
    """
    weights: dict[int, nn.Parameter] = {}
    for low in [module for module in model.modules() if isinstance(module, LowRankLinear)]:
        put(model, low, _dense_linear(low, weights))
    tables = {path: m for path, m in model.named_modules() if isinstance(m, FactorizedEmbedding | FactorizedOutput)}
    if not tables:
        return
    with torch.device("meta"):
        plain = stock_class(model)(built_config(model))
    for path, factorized in tables.items():
        put(model, factorized, _dense_table(factorized, plain.get_submodule(path), weights))
    forget_projections(model)


def twins(model: nn.Module, linear: Any) -> Iterator[nn.Module]:
    """Other modules that share the weight.

    Args:
        model: that has them.
        linear: a linear or an embedding; modules of its own type are looked at.
    """
    same = [m for m in model.modules() if type(m) is type(linear) and m is not linear]
    yield from (module for module in same if getattr(module, "weight", None) is linear.weight)


def _dense_linear(low: LowRankLinear, weights: dict[int, nn.Parameter]) -> nn.Module:
    """The `nn.Linear`, or Conv1D, with the product of the factors and the same bias."""
    from transformers.pytorch_utils import Conv1D

    key = id(low.reduce.weight)
    if key not in weights:
        weight = _product(low.expand.weight, low.reduce.weight)
        weights[key] = nn.Parameter(weight.T.contiguous() if low.transposed else weight)
    sizes = (low.out_features, low.in_features)
    with torch.device("meta"):
        new: Any = Conv1D(*sizes) if low.transposed else nn.Linear(*sizes[::-1], bias=False)
    new.weight, new.bias = weights[key], low.bias
    return new.train(low.training)


def _dense_table(factorized: Any, plain: Any, weights: dict[int, nn.Parameter]) -> nn.Module:
    """The stock layer `plain`, an embedding or an output layer, with the product of the factors."""
    key = id(factorized.weight)
    if key not in weights:
        weights[key] = nn.Parameter(_product(factorized.weight, factorized.projection.weight.T))
    plain.weight = weights[key]
    if isinstance(factorized, FactorizedEmbedding):
        plain.num_embeddings, plain.embedding_dim = plain.weight.shape
    else:
        plain.bias = factorized.bias
        plain.out_features, plain.in_features = plain.weight.shape
    return plain.train(factorized.training)


@torch.no_grad()
def _product(left: Tensor, right: Tensor) -> Tensor:
    if left.is_meta:
        return torch.empty(left.shape[0], right.shape[1], dtype=left.dtype, device="meta")
    return (left.double() @ right.double()).to(left.dtype)
