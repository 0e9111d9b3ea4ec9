"""Factors multiplied out: what works on plain linears can follow."""

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
    """Every pair of factors becomes one matrix again: the same answers, in the shapes that the model had before.

    The product is computed in float64 and rounded once, so that only rounding moves the logits.
    """

    needs: ClassVar[frozenset[State]] = frozenset({"factorized"})

    def change(self, sketch: Sketch) -> Change:
        return FactorsMerged()


def to_dense(bundle: Bundle) -> Bundle:
    """The bundle with one matrix in the place of each pair of factors, changed in place; the change is remembered."""
    return bundle.changed_by(FactorsMerged())
