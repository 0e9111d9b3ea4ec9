"""Changes of a factorization, as plain data: which matrices are products of two factors, at which rank."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from compress.core.errors import Refusal
from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.matrix import matrix
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from compress.factorize.decompositions.low_rank import decompose
from compress.factorize.put import put_linear, put_table, set_factors, to_one_matrix

__all__ = ["FactorizeLinears", "FactorizeTable", "FactorsMerged", "Ranks"]


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


Ranks = Annotated[tuple[tuple[str, Count], ...], BeforeValidator(_pairs), PlainSerializer(dict)]
"""Path from the base model -> rank."""


class FactorizeLinears(Change):
    """Factorized linears, at a rank for each path; where there are weights, the factors are those of truncated SVD."""

    ranks: Ranks

    def apply(self, bundle: Bundle) -> Bundle:
        for path, rank in self.ranks:
            weight = matrix(base_model(bundle.model).get_submodule(path)).detach()
            low = put_linear(bundle.model, path, rank)
            if not weight.is_meta:
                set_factors(low, decompose(weight).of_rank(rank))
        bundle.states = bundle.states | {"factorized"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"ranks": dict(self.ranks)}


class FactorizeTable(Change):
    """Factorized embedding matrix, at a rank, and with it every output layer that is tied to it."""

    rank: Count

    def apply(self, bundle: Bundle) -> Bundle:
        path = bundle.family.word_embedding
        if path is None:
            raise Refusal(f"a {bundle.family.model_type} model has no embedding matrix")
        weight: Any = base_model(bundle.model).get_submodule(path).weight
        table = put_table(bundle.model, path, self.rank)
        if not weight.is_meta:
            set_factors(table, decompose(weight.detach()).of_rank(self.rank))
        bundle.states = bundle.states | {"factorized"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"ranks": {"words": self.rank}}


class FactorsMerged(Change):
    """Merged factors: every pair is one matrix again, their product."""

    def apply(self, bundle: Bundle) -> Bundle:
        to_one_matrix(bundle.model)
        bundle.states = bundle.states - {"factorized"}
        return bundle
