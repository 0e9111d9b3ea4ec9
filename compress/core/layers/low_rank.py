"""Low-rank linears and embeddings: the product of two smaller matrices in place of one.

A copy of this file lies in every directory that `changed` opens, so it imports torch only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "FactorizedEmbedding",
    "FactorizedOutput",
    "LowRankLinear",
    "factor_ranks",
    "factorize_table",
    "forget_projections",
    "install",
]

PROJECTION = ".projection.weight"


class LowRankLinear(nn.Module):
    """Low-rank linear, expand(reduce(x)): its weight is expand.weight (out, rank) times reduce.weight (rank, in).

    Attributes:
        transposed: the linear that it replaced stored (in, out), as transformers' Conv1D does.
    """

    def __init__(self, inputs: int, rank: int, outputs: int, *, bias: bool = True, transposed: bool = False):
        super().__init__()
        self.reduce = nn.Linear(inputs, rank, bias=False)
        self.expand = nn.Linear(rank, outputs, bias=bias)
        self.transposed = transposed

    @classmethod
    def like(cls, linear: Any, rank: int) -> LowRankLinear:
        """One of the shape, type and device of `linear`, an `nn.Linear` or a Conv1D, that uses its bias."""
        transposed = hasattr(linear, "nf")
        shape = linear.weight.shape
        inputs, outputs = shape if transposed else shape[::-1]
        with torch.device(linear.weight.device):
            new = cls(inputs, rank, outputs, bias=False, transposed=transposed).to(linear.weight.dtype)
        new.expand.bias = linear.bias
        return new.train(linear.training)

    @property
    def in_features(self) -> int:
        return self.reduce.in_features

    @property
    def out_features(self) -> int:
        return self.expand.out_features

    @property
    def rank(self) -> int:
        return self.reduce.out_features

    @property
    def bias(self) -> Any:
        return self.expand.bias

    @property
    def weight(self) -> Any:
        """The first factor: T5 reads the data type of a linear's weight before it calls the linear."""
        return self.reduce.weight

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.expand(self.reduce(input))
        return output


class FactorizedEmbedding(nn.Embedding):
    """Factorized embedding: a matrix (vocabulary, rank), and the projection of its rows to the embedding size."""

    def __init__(self, table: Any, rank: int):
        width = table.weight.shape[1]
        with torch.device(table.weight.device):
            super().__init__(table.num_embeddings, rank, padding_idx=table.padding_idx, dtype=table.weight.dtype)
            self.projection = nn.Linear(rank, width, bias=False, dtype=table.weight.dtype)
        # The size of its outputs, which other modules read.
        self.embedding_dim = width
        self.embed_scale: Any = getattr(table, "embed_scale", 1.0)

    @property
    def rank(self) -> int:
        return self.projection.in_features

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.projection(super().forward(input))
        return output if self.embed_scale == 1.0 else output * self.embed_scale


class FactorizedOutput(nn.Linear):
    """Output layer tied to a factorized embedding: it shares the weight (vocabulary, rank) and the projection."""

    def __init__(self, linear: Any, table: FactorizedEmbedding):
        words, rank = table.weight.shape
        super().__init__(rank, words, bias=False, device="meta")
        self.weight, self.bias = table.weight, linear.bias
        self.projection = nn.Linear(rank, table.projection.out_features, bias=False, device="meta")
        self.projection.weight = table.projection.weight

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.linear(input, self.projection.weight.T))


def install(model: Any, linears: Mapping[str, int], tables: Mapping[str, int]) -> None:
    """Replace dense layers of `model` by factorized ones of these ranks, in place; paths are from the base model.

    Args:
        model: of a stock class, with or without a task's head.
        linears: path of a linear -> rank.
        tables: path of an embedding -> rank. The layers that are tied to it are factorized with it.
    """
    base = getattr(model, model.base_model_prefix, model)
    for path, rank in linears.items():
        owner, _, name = path.rpartition(".")
        setattr(base.get_submodule(owner), name, LowRankLinear.like(base.get_submodule(path), rank))
    for path, rank in tables.items():
        factorize_table(model, base.get_submodule(path), rank)


def factor_ranks(base: nn.Module) -> tuple[dict[str, int], dict[str, int]]:
    """Path -> rank of the factorized linears of a base model, and of its embeddings; of tied ones the first."""
    linears = {path: module.rank for path, module in base.named_modules() if isinstance(module, LowRankLinear)}
    tables: dict[int, tuple[str, int]] = {}
    for path, module in base.named_modules():
        if isinstance(module, FactorizedEmbedding):
            tables.setdefault(id(module.weight), (path, module.rank))
    return linears, dict(tables.values())


def factorize_table(model: Any, table: nn.Embedding, rank: int) -> FactorizedEmbedding:
    """Replace an embedding, and every layer that is tied to it, by a factorized one, in place.

    The ties of the projections are added to transformers' tied weights of the model, so that they are saved once and
    tied again when the model is opened.

    Args:
        model: that has the embedding.
        table: the embedding, (vocabulary, width).
        rank: from 1 on.
    """
    tied = _users(model, table)
    new = FactorizedEmbedding(table, rank).train(table.training)
    made: dict[int, nn.Module] = {id(table): new}
    for path, module in tied:
        if id(module) not in made:
            made[id(module)] = _tied(module, new)
        owner, _, name = path.rpartition(".")
        setattr(model.get_submodule(owner), name, made[id(module)])
    first = next(path for path, module in tied if module is table)
    others = [path for path, module in tied if module is not table]
    ties = {path + PROJECTION: first + PROJECTION for path in others}
    model._tied_weights_keys = {**(model._tied_weights_keys or {}), **ties}
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)
    return new


def forget_projections(model: Any) -> None:
    """Remove the ties of `factorize_table` from transformers' tied weights, after the factors were merged."""
    known = (model._tied_weights_keys or {}).items()
    model._tied_weights_keys = {path: source for path, source in known if not path.endswith(PROJECTION)}
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _users(model: Any, table: nn.Module) -> list[tuple[str, Any]]:
    """(path, module) of the table, and of what is tied to it, or will be: `from_pretrained` ties when all is loaded."""
    modules = dict(model.named_modules(remove_duplicate=False))
    same = {f"{path}.weight" for path, module in modules.items() if getattr(module, "weight", None) is table.weight}
    links = list((getattr(model, "all_tied_weights_keys", None) or {}).items())
    for target, source in links + links[::-1]:
        same |= {target, source} if {target, source} & same else set()
    return [(path, module) for path, module in modules.items() if f"{path}.weight" in same]


def _tied(module: Any, table: FactorizedEmbedding) -> nn.Module:
    if not isinstance(module, nn.Embedding):
        return FactorizedOutput(module, table).train(module.training)
    other = FactorizedEmbedding(module, table.weight.shape[1]).train(module.training)
    other.weight, other.projection.weight = table.weight, table.projection.weight
    return other
