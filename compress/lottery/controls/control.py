"""Controls: the baselines that a ticket must beat."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.masks import Masks
from compress.lottery.search import State

__all__ = ["Control"]


class Control(Choice):
    """A subnetwork of the ticket's size without one of its properties: its mask, or its starting weights."""

    home: ClassVar[str] = "compress.lottery.controls"

    def masks(self, ticket: Masks, generator: torch.Generator) -> Masks:
        """Which weights stay; as many as the ticket's. The ticket's own unless overridden.

        Args:
            ticket: name of a parameter -> boolean tensor, True where kept.
            generator: of all that is drawn.
        """
        return ticket

    def start(self, bundle: Bundle, state: State, names: tuple[str, ...], generator: torch.Generator) -> State:
        """The weights that it begins with; the ticket's own unless overridden.

        Args:
            bundle: whose model; it stays as it is.
            state: every tensor of the model where the ticket begins.
            names: the parameters that are pruned.
            generator: of all that is drawn.
        """
        return state
