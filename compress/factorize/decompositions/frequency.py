"""Frequency-weighted SVD of the embedding matrix."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import padding_mask
from compress.core.stage.context import Context
from compress.factorize.decomposition import Decomposition, Users, What
from compress.factorize.decompositions.low_rank import Weighting

__all__ = ["Frequency", "frequency_weights"]


class Frequency(Decomposition):
    """Frequency-weighted SVD: the least mean squared error of the embeddings, each token weighted by its frequency.

    D E = U S V^T is truncated, with D_t = sqrt(count of token t in *train* + 1), so that tokens that do not occur there
    still count.

    References:
        Chen et al. 2018 (GroupReduce), arXiv 1806.06950, whose weighted approximation of an embedding block this is.
    """

    fits: ClassVar[frozenset[What]] = frozenset({"embeddings"})
    needs_data: ClassVar[bool] = True

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        (path, (table, *_)) = next(iter(modules.items()))
        size: int = getattr(table, "num_embeddings")  # noqa: B009
        counts = torch.zeros(size, dtype=torch.long, device=bundle.device)
        for batch in ctx.batches(bundle, part="train"):
            tokens = batch.get("input_ids")
            if tokens is None:
                raise InputError("the task's batches hold no tokens to count", given=sorted(batch))
            mask = padding_mask(batch)
            read = tokens.flatten() if mask is None else tokens[mask]
            counts += torch.bincount(read.to(counts.device), minlength=size)
        if not counts.any():
            raise InputError("frequency needs rows of train, and there are none")
        return {path: Weighting(rows=frequency_weights(counts))}


def frequency_weights(counts: Tensor) -> Float[Tensor, " words"]:
    """Weights of the rows of an embedding matrix: sqrt(count + 1), in float64."""
    return (counts.double() + 1).sqrt()
