"""Factorization of real weights: the singular values of each matrix, its rank, and the share of the energy kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.linears import Place
from compress.core.model.matrix import matrix
from compress.core.stage.context import Context
from compress.core.stage.exhibit import Cut, Spectrum
from compress.factorize.decomposition import Decomposition
from compress.factorize.decompositions.low_rank import Factors, Weighting, decompose
from compress.factorize.put import put_linear, put_table, set_factors, twins
from compress.factorize.rank import Rank, saves

__all__ = ["Fitted", "fitted", "put_fitted", "sampled"]

POINTS = 48
"""Singular values of a spectrum that the report draws."""


@dataclass(frozen=True)
class Fitted:
    """Factorized matrices: the path and shape of each, its factors and the chosen rank."""

    places: tuple[Place, ...]
    factors: tuple[Factors, ...]
    ranks: tuple[int, ...]

    def facts(self) -> dict[str, Any]:
        """For the report: which matrices stay as they are because factors would be larger."""
        left = [place.path for place, rank in zip(self.places, self.ranks) if not saves(place, rank)]
        return {"left_alone": left} if left else {}

    def spectra(self) -> list[Spectrum]:
        """For the report: the singular values and the rank of every matrix, by role."""
        by_role: dict[str, list[Cut]] = {}
        for place, factors, rank in zip(self.places, self.factors, self.ranks):
            if len(factors.values) > 1:
                by_role.setdefault(", ".join(place.roles), []).append(_cut(place, factors, rank))
        return [Spectrum(title=role, lines=tuple(lines)) for role, lines in by_role.items()]


def fitted(bundle: Bundle, places: Sequence[Place], by: Decomposition, rank: Rank, ctx: Context) -> Fitted:
    """The factors of every matrix, computed one after the other. The model stays as it is.

    Args:
        bundle: the model, with weights.
        places: the matrices, by path from the base model.
        by: the decomposition.
        rank: chooses each matrix's rank by its singular values.
        ctx: gives calibration batches.

    Raises:
        StageFailed: weights or calibration statistics are not finite; `where` names the matrix.
    """
    from tqdm.auto import tqdm

    modules = {place.path: base_model(bundle.model).get_submodule(place.path) for place in places}
    users = {path: (module, *twins(bundle.model, module)) for path, module in modules.items()}
    weightings = by.weightings(bundle, users, ctx)
    factors = []
    for place in tqdm(places, desc="factorize", unit=" matrices", disable=None, leave=False):
        found = _decomposed(place, modules[place.path], weightings.pop(place.path))
        # What saves nothing is never used.
        factors.append(found.shortened(place.size // sum(place.shape)))
    return Fitted(tuple(places), tuple(factors), rank.ranks(places, [found.values for found in factors]))


def put_fitted(model: nn.Module, found: Fitted) -> None:
    """Replace each matrix of `model` whose factors are smaller by them, in place.

    Args:
        model: with or without a head.
        found: factors and ranks.
    """
    for place, factors, rank in zip(found.places, found.factors, found.ranks):
        if saves(place, rank):
            new: Any = (put_table if place.block is None else put_linear)(model, place.path, rank)
            set_factors(new, factors.of_rank(rank))


def sampled(values: Tensor, points: int = POINTS) -> list[float]:
    """Singular values as shares of the largest, at evenly spaced indices from the first to the last.

    Args:
        values: descending.
        points: how many, at most.
    """
    count = min(points, len(values))
    index = [round(step * (len(values) - 1) / max(1, count - 1)) for step in range(count)]
    top = float(values[0]) or 1.0
    return [float(f"{float(values[place]) / top:.4g}") for place in index]


def _decomposed(place: Place, module: nn.Module, weighting: Weighting) -> Factors:
    try:
        return decompose(_weight(module), weighting)
    except StageFailed as error:
        error.where = place.path
        raise


def _weight(module: Any) -> Tensor:
    """(out, in) of a linear, (vocabulary, width) of an embedding."""
    return (module.weight if isinstance(module, nn.Embedding) else matrix(module)).detach()


def _cut(place: Place, factors: Factors, rank: int) -> Cut:
    squares = factors.values.square()
    kept = float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0
    return Cut(
        name="table" if place.block is None else f"layer {place.block}",
        values=tuple(sampled(factors.values)),
        at=rank if saves(place, rank) else None,
        of=min(place.shape),
        kept=float(f"{kept if saves(place, rank) else 1.0:.4g}"),
    )
