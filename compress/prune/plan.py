"""A pattern with its sparsity and allocation: what a pruning asks for, before anything is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch

__all__ = ["Allocation", "Plan"]

Allocation = Literal["uniform", "per_type", "global"]


class Plan(ABC):
    """What can be said of a pruning without data; a kind of patterns has its own, and its criteria carry it out."""

    @abstractmethod
    def refusal(self, sketch: Sketch) -> str | None:
        """Why such a model cannot be pruned like this, or None."""

    @abstractmethod
    def guess(self, sketch: Sketch) -> Change:
        """A change of the size that the criterion will decide, made without scores."""

    def uncertain(self, sketch: Sketch) -> str | None:
        """What only the scores decide of the size, in words for `check`, or None."""
        return None

    def already_sparser(self, bundle: Bundle) -> str | None:
        """Why a model that earlier masks made sparser cannot be pruned like this, or None."""
        return None
