"""Pruning: units are removed for good, or weights are masked; then the model recovers."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.values import Fraction, Share
from compress.distill.recovering import Recovering
from compress.prune.criteria.taylor import Taylor
from compress.prune.criterion import Criterion
from compress.prune.forbidden import forbidden
from compress.prune.make_permanent import MakePermanent
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation, Plan

__all__ = ["MakePermanent", "Prune"]


class Prune(Recovering):
    """Prune a share of the heads, neurons, layers or hidden size, or of the weights; then recover.

    Without the heads, neurons, layers or entries of the hidden dimension the tensors are smaller. Weights become zero
    where they lie, and a mask keeps them so in all later training: the files become smaller, a forward pass no faster.
    A second pruning of weights goes on from the first, and `sparsity` is the share of both.

    As many units stay in a block as are nearest to (1 - sparsity) of it, so `uniform` leaves equal blocks equal and
    neurons in a stock architecture. `global` lets the blocks compete and leaves each at least one unit; `per_type`
    lets only blocks of one kind compete: the encoder's, the decoder's, its attention to the encoder. Where a family
    has one set of heads for a whole stack, the scores are summed over its blocks, and none compete.
    """

    pattern: Pattern = Field(
        description="what stays or goes as a whole", examples=[{"blocks": {"rows": 1, "columns": 1}}]
    )
    sparsity: Share = Field(description="share of the units or weights that is removed")
    criterion: Criterion = Field(Taylor(), description="importance of a unit or a weight")
    allocation: Allocation = Field(
        "uniform", description="the same share in each block or matrix, or the worst of each type of these, or of all"
    )
    floor: Fraction = Field(0.0, description="least share of each matrix that stays where weights compete; one does")

    @model_validator(mode="before")
    @classmethod
    def _own_sparsity(cls, value: Any) -> Any:
        return Pattern.with_own_sparsity(value, word="sparsity")

    @model_validator(mode="after")
    def _fits(self) -> Prune:
        why = self.criterion.refuses(self.pattern, self.allocation)
        why = why or self.pattern.unused(self.allocation, self.floor, usual="uniform")
        why = why or self.pattern.contradicts(self.sparsity, word="sparsity")
        if why:
            raise ValueError(why)
        if self.floor > 1 - self.sparsity:
            raise ValueError(f"a floor of {self.floor:g} leaves more than sparsity {self.sparsity:g} allows")
        return self

    @property
    def decider(self) -> Criterion:
        return self.criterion

    @property
    def narrows(self) -> bool:
        return self.pattern.narrows

    def damage(self, sketch: Sketch) -> Declaration:
        refusal = self._pruning.refusal(sketch)
        return Declaration(
            refusal=refusal,
            needs=frozenset({"head_trained"} if self.criterion.needs_labels else ()),
            forbids=forbidden(sketch, narrows=self.narrows),
            otherwise={"head_trained": "prune by magnitude with `recover: none`"},
            change=Nothing() if refusal else self._pruning.guess(sketch),
            remarks=sketch.first_stack_alone if self.pattern.first_stack_alone else (),
            uncertain=None if refusal else self._pruning.uncertain(sketch),
        )

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self.criterion.decide(bundle, self._pruning, ctx)

    @property
    def _pruning(self) -> Plan:
        return self.pattern.plan(self.sparsity, allocation=self.allocation, floor=self.floor)
