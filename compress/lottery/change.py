"""The sparsity of a ticket that is not found yet, as a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.masks import evenly
from compress.core.model.matrices import first_stack
from compress.core.model.sketch import Sketch
from compress.lottery.search import kept_share
from compress.prune.weights.mask import Mask

__all__ = ["KeepShare", "TicketsOffered"]


@dataclass(frozen=True)
class TicketsOffered:
    """The tickets that a search will leave: one for each seed and round, of which each removes the share `rate`."""

    seeds: tuple[int, ...]
    rounds: int
    rate: float

    def share_after(self, number: int | None = None) -> KeepShare:
        """What the ticket of a round keeps; of the last unless given."""
        return KeepShare(remaining=(1 - self.rate) ** (number or self.rounds))


class KeepShare(Change):
    """This share of the encoder's matrices stays; which weights these are, only the search says."""

    remaining: float

    def apply(self, bundle: Bundle) -> Bundle:
        weights = {name: bundle.model.get_parameter(name) for name in first_stack(bundle)}
        masks = {name: evenly(w.shape, kept_share(w.numel(), self.remaining)) for name, w in weights.items()}
        return Mask.of(masks).apply(bundle)

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"remaining": self.remaining}
