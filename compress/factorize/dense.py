"""Factors multiplied out: what works on plain linears can follow."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.stage import Stage
from compress.factorize.change import FactorsMerged

__all__ = ["MergeFactors", "to_dense"]


class MergeFactors(Stage):
    """Every pair of factors becomes one matrix again: the same answers, in the shapes that the model had before.

    The product is computed in float64 and rounded once, so that only rounding moves the logits.
    """

    @property
    def needs_data(self) -> bool:
        return False

    def refuses(self, sketch: Sketch) -> str | None:
        return None if "factorized" in sketch.states else "nothing in this model is factorized"

    def guess(self, sketch: Sketch) -> Change:
        return FactorsMerged()

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return FactorsMerged()


def to_dense(bundle: Bundle) -> Bundle:
    """The bundle with one matrix in the place of each pair of factors, changed in place; the change is remembered."""
    return bundle.changed_by(FactorsMerged())
