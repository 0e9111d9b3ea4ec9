"""A control of a lottery ticket that is not there yet."""

from __future__ import annotations

import torch

from compress.core.model.masks import Masks
from compress.lottery.controls.control import Control


class Newcomer(Control):
    """The ticket's mask, turned upside down in each matrix."""

    def masks(self, ticket: Masks, generator: torch.Generator) -> Masks:
        return {name: mask.flip(0) for name, mask in ticket.items()}
