"""The pruning granularity: heads, neurons, layers, the hidden dimension; single weights, blocks, n of m."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from compress.core.choice import Choice
from compress.core.errors import UnknownName
from compress.prune.plan import Allocation, Plan

__all__ = ["Pattern"]

SAME = 1e-4
"""Sparsities nearer than this are the same."""


class Pattern(Choice):
    """What stays or goes together. Its kinds, units and weights, each have a parent of their own inside this set."""

    home: ClassVar[str | tuple[str, ...]] = ("compress.prune.units", "compress.prune.weights")
    narrows: ClassVar[bool] = False
    """Whether the hidden size is smaller afterwards."""
    first_stack_alone: ClassVar[bool] = False
    """Whether a decoder's blocks stay as they are."""

    @abstractmethod
    def plan(self, sparsity: float, *, allocation: Allocation = "uniform", floor: float = 0.0) -> Plan:
        """A pruning by this pattern.

        Args:
            sparsity: share of the units or weights that is removed, from 0 to 1.
            allocation: who competes.
            floor: least share of each matrix that stays, where weights of several compete.
        """

    def own_sparsity(self) -> float | None:
        """The sparsity that the pattern itself has (2 of 4: 0.5); None where it is chosen."""
        return None

    def unused(self, allocation: Allocation, floor: float, *, usual: Allocation) -> str | None:
        """Why a setting would change nothing with this pattern, or None.

        Args:
            allocation: who competes.
            floor: least share of each matrix that stays.
            usual: the allocation where none is given.
        """
        if self.own_sparsity() is not None and (allocation != usual or floor):
            what = "floor" if allocation == usual else "allocation"
            return f"{self.name} itself says what stays in each matrix; leave {what!r} out"
        return None

    def contradicts(self, sparsity: float, *, word: str) -> str | None:
        """Why a sparsity, given as the setting `word`, is not the pattern's own, or None.

        Args:
            sparsity: from 0 to 1.
            word: the name of the setting, for the message.
        """
        own = self.own_sparsity()
        if own is None or abs(own - sparsity) <= SAME:
            return None
        return f"the pattern itself cuts {own:g} of the weights; leave {word!r} out"

    @classmethod
    def with_own_sparsity(cls, settings: Any, *, word: str) -> Any:
        """A stage's settings, with the pattern's own sparsity as `word` where they leave that out.

        Args:
            settings: as they stand in a recipe, not yet validated.
            word: the name of the sparsity setting.
        """
        if not isinstance(settings, dict) or "pattern" not in settings or word in settings:
            return settings
        try:
            own = cls.parse(settings["pattern"]).own_sparsity()
        except (UnknownName, ValueError):
            return settings  # the field itself says what is wrong with it
        return settings if own is None else {**settings, word: own}
