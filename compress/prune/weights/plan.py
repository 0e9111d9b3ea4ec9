"""Unstructured pruning: which share of which weights is masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.masks import Masks, evenly
from compress.core.model.matrices import Matrix, as_stored, block_matrices
from compress.core.model.matrix import matrix
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from compress.prune.plan import Allocation, Plan
from compress.prune.selection import kept_count
from compress.prune.weights.mask import Kept, Mask
from compress.prune.weights.selection import check_left

if TYPE_CHECKING:
    from compress.prune.weights.pattern import WeightPattern

__all__ = ["MaskEvenly", "WeightPlan"]


@dataclass(frozen=True)
class WeightPlan(Plan):
    """A share of the weights is masked; the tensors keep their size.

    Attributes:
        pattern: which weights go together.
        sparsity: share of the weights that is cut, those of earlier masks included.
        allocation: who competes.
        floor: least share of each matrix that stays, where several compete.
    """

    pattern: WeightPattern
    sparsity: float
    allocation: Allocation = "uniform"
    floor: float = 0.0

    def masks(self, bundle: Bundle, scores: Mapping[str, Tensor]) -> Masks:
        """The masks as the linears store their weights, from scores of (out, in); what was cut stays cut.

        Args:
            bundle: whose model, with its masks.
            scores: name of a parameter -> importance of its weights, (out, in).
        """
        matrices = block_matrices(bundle)
        before = self.before(bundle, matrices)
        found = self.pattern.masks(
            scores,
            self.sparsity,
            allocation=self.allocation,
            types={name: part.type for name, part in matrices.items()},
            within=before,
            floor=self.floor,
        )
        # A group of weights may stay although some of them were cut before.
        return as_stored(matrices, {name: mask & before.get(name, mask) for name, mask in found.items()})

    def before(self, bundle: Bundle, matrices: Mapping[str, Matrix]) -> Masks:
        """(out, in) of the masks that the matrices have already.

        Args:
            bundle: whose masks.
            matrices: name of a parameter -> its matrix.
        """
        return {n: matrix(part.linear, bundle.masks[n]) for n, part in matrices.items() if n in bundle.masks}

    def before_each(self, bundle: Bundle, matrices: Mapping[str, Matrix]) -> Masks:
        """`before`, for a criterion that takes each matrix by itself.

        Args:
            bundle: whose masks.
            matrices: name of a parameter -> its matrix.

        Raises:
            InputError: a matrix has lost more already than is asked for.
        """
        found, unit = self.before(bundle, matrices), self.pattern.unit()
        for mask in () if self.pattern.own_sparsity() else found.values():
            check_left(self.pattern.left(mask), of=mask.numel() // unit, sparsity=self.sparsity)
        return found

    def refusal(self, sketch: Sketch) -> str | None:
        return self.pattern.refuses(sketch)

    def already_sparser(self, bundle: Bundle) -> str | None:
        try:
            self.before_each(bundle, block_matrices(bundle))
        except InputError as error:
            return str(error)
        return None

    def guess(self, sketch: Sketch) -> MaskEvenly:
        return self.evenly()

    def evenly(self) -> MaskEvenly:
        """The change that masks as many weights of each matrix, wherever they lie."""
        return MaskEvenly(sparsity=self.sparsity, unit=self.pattern.unit())


class MaskEvenly(Change):
    """Masks of the counts that a stage will give, without scores: the cut weights lie as far apart as they can."""

    sparsity: float
    unit: Count = 1

    def apply(self, bundle: Bundle) -> Bundle:
        parts = [
            Kept(parameter=name, kept=self._kept(part.weight), shape=tuple(part.linear.weight.shape))  # type: ignore[arg-type]
            for name, part in block_matrices(bundle).items()
        ]
        if bundle.device.type == "meta":
            return Mask(parts=tuple(parts)).apply(bundle)
        return Mask.of({part.parameter: evenly(part.shape, part.kept) for part in parts}).apply(bundle)

    def _kept(self, weight: Tensor) -> int:
        return kept_count(weight.numel() // self.unit, self.sparsity) * self.unit
