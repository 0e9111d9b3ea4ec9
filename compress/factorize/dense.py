"""Merging factors: low-rank layers become dense ones, so that stages for dense linears can follow."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.fixed import FixedChange
from compress.factorize.change import FactorsMerged

__all__ = ["MergeFactors", "to_dense"]


class MergeFactors(FixedChange):
    """Merged factors: every pair becomes one dense matrix, W = A B; the same outputs, in the original shapes.

    The product is computed in float64 and rounded once, so that the logits differ by rounding alone.
    """

    needs: ClassVar[frozenset[State]] = frozenset({"factorized"})

    def change(self, sketch: Sketch) -> Change:
        return FactorsMerged()


def to_dense(bundle: Bundle) -> Bundle:
    """The bundle with one dense matrix for each pair of factors, changed in place; the change enters its history."""
    return bundle.changed_by(FactorsMerged())
