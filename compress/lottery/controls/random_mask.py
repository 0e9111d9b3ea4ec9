"""A random mask of the ticket's sparsity."""

from __future__ import annotations

import torch

from compress.core.model.masks import Masks
from compress.lottery.controls.control import Control
from compress.prune.selection import kept_mask

__all__ = ["RandomMask"]


class RandomMask(Control):
    """Random mask of the ticket's sparsity over all matrices together; the starting weights are the ticket's.

    Chen et al. 2020, arXiv 2007.12223, section 4.
    """

    def masks(self, ticket: Masks, generator: torch.Generator) -> Masks:
        sizes = [mask.numel() for mask in ticket.values()]
        drawn = torch.rand(sum(sizes), generator=generator, dtype=torch.float64)
        kept = kept_mask(drawn, sum(int(mask.sum()) for mask in ticket.values())).split(sizes)
        return {name: part.reshape(mask.shape) for part, (name, mask) in zip(kept, ticket.items())}
