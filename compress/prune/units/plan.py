"""Structured pruning: how many units of each group stay, and which by their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.prune.plan import Allocation, Plan
from compress.prune.selection import kept_count
from compress.prune.units.selection import best_of_each, best_of_kinds, spread_over_kinds

if TYPE_CHECKING:
    from compress.prune.units.pattern import UnitPattern

__all__ = ["UnitPlan"]

MASKED_BYTES = "no matter of the parameters, but of the bytes: some have lost more weights than others to the masks"


@dataclass(frozen=True)
class UnitPlan(Plan):
    """A share of the units is removed, the tensors become smaller.

    Attributes:
        pattern: what a unit is.
        sparsity: share of the units that is removed.
        allocation: which groups of units compete.
    """

    pattern: UnitPattern
    sparsity: float
    allocation: Allocation = "uniform"

    def refusal(self, sketch: Sketch) -> str | None:
        try:
            sketch.family.require(self.pattern.part, stage="prune")
        except InputError as error:
            return str(error)
        return self._too_much(sketch)

    def guess(self, sketch: Sketch) -> Change:
        counts = self.pattern.counts(sketch)
        if self._competing(sketch):
            return self.pattern.change(spread_over_kinds(counts, self.sparsity, self._kinds(sketch)), counts)
        return self.pattern.change(tuple(tuple(range(kept_count(n, self.sparsity))) for n in counts), counts)

    def uncertain(self, sketch: Sketch) -> str | None:
        masked = "masked" in sketch.states
        if not self._competing(sketch):
            return f"which {self.pattern.part} stay is {MASKED_BYTES}" if masked else None
        stay = [
            f"{total} {self.pattern.part} stay in all{where}, between 1 and {min(max(counts), total - len(counts) + 1)}"
            " in a layer"
            for where, counts, total in self._totals(sketch)
        ]
        return f"{'; '.join(stay)}; which is {MASKED_BYTES if masked else 'hardly a matter of the size'}"

    def change(self, sketch: Sketch, scores: Sequence[Float[Tensor, " units"]]) -> Change:
        """The change that removes the units of the lowest scores.

        Args:
            sketch: of the model.
            scores: of each unit of each group; of equals the first stay.
        """
        scores = self.pattern.comparable(scores, sketch)
        competing = self._competing(sketch)
        kept = best_of_kinds(scores, self.sparsity, self._kinds(sketch)) if competing else None
        return self.pattern.change(kept or best_of_each(scores, self.sparsity), self.pattern.counts(sketch))

    def _competing(self, sketch: Sketch) -> bool:
        ties = self.pattern.ties(sketch)
        return self.allocation != "uniform" and len(ties) > 1 and len(set(ties)) == len(ties)

    def _kinds(self, sketch: Sketch) -> tuple[str, ...]:
        """Groups of the same kind compete."""
        kinds = self.pattern.kinds(sketch)
        return ("",) * len(kinds) if self.allocation == "global" else kinds

    def _totals(self, sketch: Sketch) -> list[tuple[str, list[int], int]]:
        """(which groups, the units that each has, how many stay in all), of the groups that compete."""
        pairs = list(zip(self._kinds(sketch), self.pattern.counts(sketch)))
        found = []
        for kind in dict.fromkeys(kind for kind, _ in pairs):
            counts = [count for each, count in pairs if each == kind]
            found.append((f" in the {kind}" if kind else "", counts, kept_count(sum(counts), self.sparsity)))
        return found

    def _too_much(self, sketch: Sketch) -> str | None:
        counts = self.pattern.counts(sketch)
        part, share = self.pattern.part, f"sparsity {self.sparsity}"
        if self._competing(sketch):
            few = [found for found in self._totals(sketch) if found[2] < len(found[1])]
            return next((f"{share} leaves {n} {part}{w} for {len(c)} layers; each needs one" for w, c, n in few), None)
        if kept_count(min(counts), self.sparsity) < 1:
            what = self.pattern.units or part
            return f"{share} leaves none of the {min(counts)} {what} {self.pattern.of}; choose a smaller one"
        return None
