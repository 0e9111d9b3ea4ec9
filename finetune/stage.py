"""Fine-tune a model on the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.change import Change, Nothing, Several
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.declaration import UNMERGED, Declaration, Training, moves_all
from compress.core.stage.during import During, going_on
from compress.core.stage.exhibit import loss_curve
from compress.core.stage.requires import Requires
from compress.core.stage.task import TaskView
from compress.core.stage.trains import Trains
from compress.core.values import Positive
from compress.quantize.store_linears import StoreLinears
from finetune.delta.record import base_fingerprint, delta_bytes
from finetune.method import Method, only_trained
from finetune.methods.full import Full

__all__ = ["Finetune"]


class Finetune(Trains):
    """Train the model, or a part of it, on the task's train split.

    What a method of few parameters moves is saved as a delta on the model that it started from; `merge` makes it a
    model of its own. With another `base` than fp32 the linears of the blocks are stored in fewer bits first, and stay
    as they are: Dettmers et al. 2023, arXiv 2305.14314, section 3; int8: Dettmers et al. 2022, arXiv 2208.07339.
    """

    last: ClassVar[tuple[str, ...]] = ("train", "learning_rates", "during")

    method: Method = Field(default_factory=Full, description="which parameters are trained")
    base: Literal["fp32", "bf16", "int8", "nf4", "fp4"] = Field(
        "fp32", description="how the frozen linears are stored while few parameters are trained; the head stays fp32"
    )
    learning_rates: tuple[Positive, ...] = Field(
        (), description="rates to try; the one that is best on select is kept, the first of equals"
    )

    def requires(self) -> Requires:
        packages = (("bitsandbytes", ""),) if self.base in ("int8", "nf4", "fp4") else ()
        return Requires(packages=packages, draws=True, explicit_start=True, data=frozenset({"rows", "labels"}))

    def plan(self) -> TrainPlan:
        return self.train.over(self.method.plan())

    def hinders(self, during: During) -> str | None:
        if not self.method.whole:
            return f"{during.name} works on all weights, and {self.method.name} trains few; take `method: full`"
        if self.method.freezes:
            return f"{during.name} works on all weights at once; leave out `unfreezing`"
        return super().hinders(during)

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        refusal = self._refusal(sketch)
        added, left = (Nothing(), Nothing()) if refusal else (self._structure(sketch), self._left(sketch))
        stored = self._storage().forbids(sketch) if self.base != "fp32" else frozenset[State]()
        declared = Declaration(
            refusal=refusal,
            forbids=UNMERGED | stored | self.method.forbids(sketch),
            otherwise={"shared": "take a method that changes all blocks alike, with `base: fp32`"},
            adds=frozenset({"head_trained"}),
            change=left,
            uncertain=self.method.uncertain(sketch),
            training=Training(
                self.plan(),
                change=None if left == added else added,
                moves=moves_all if self.method.whole else self.method.trainable,
                copies=2 if self.learning_rates else 0,  # the model to start from, and the best so far
                cached=self.method.cached_bytes,
            ),
        )
        return self.with_during(declared, sketch)

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        self.method.check_task(bundle, task)

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        ctx = going_on(ctx, self.during)
        fingerprint = "" if self.method.whole else base_fingerprint(bundle.model, bundle.family)
        base_changes = len(bundle.changes)
        bundle = self._prepared(bundle, ctx)
        names = self.method.trainable(bundle)
        if self.learning_rates:
            bundle, result = self._best_rate(bundle, names, ctx)
        else:
            result = self._fit(bundle, names, ctx, self.plan(), self.name)
        bundle = self.method.finish(bundle, ctx)
        kept = self.method.trainable(bundle)
        bundle.states = bundle.states | {"head_trained"}
        bundle.fresh = bundle.fresh - names
        bundle.tuned = None if self.method.whole else Tuned(self.method.name, kept, base_changes, fingerprint)
        ctx.show(*loss_curve(result.losses))
        ctx.note(**facts(result), delta_bytes=delta_bytes(bundle.model, kept), select=ctx.evaluate(bundle))
        return bundle

    def _structure(self, sketch: Sketch) -> Change:
        """What is changed before the training."""
        return self._on_base(self.method.change(self._stored(sketch)))

    def _left(self, sketch: Sketch) -> Change:
        """What of that is there after the training."""
        return self._on_base(self.method.left(self._stored(sketch)))

    def _on_base(self, change: Change) -> Change:
        if self.base == "fp32":
            return change
        return self._storage() if isinstance(change, Nothing) else Several(steps=(self._storage(), change))

    def _refusal(self, sketch: Sketch) -> str | None:
        if self.base != "fp32" and self.method.whole:
            return (
                f"{self.method.name} moves every weight, and those of a base in {self.base} stay as they are; "
                "leave out `base`, or take another method"
            )
        return self.method.refuses(self._stored(sketch))

    def _storage(self) -> StoreLinears:
        return StoreLinears.model_validate({"storage": self.base})

    def _stored(self, sketch: Sketch) -> Sketch:
        """The sketch as the method meets it."""
        return replace(sketch, states=sketch.states | {"quantized"}) if self.base != "fp32" else sketch

    def _prepared(self, bundle: Bundle, ctx: Context) -> Bundle:
        change = self._structure(bundle.sketch())
        if not isinstance(change, Nothing):
            bundle = bundle.changed_by(change)
        return self.method.prepare(bundle, ctx)

    def _fit(self, bundle: Bundle, names: frozenset[str], ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        with only_trained(bundle.model, names):
            return self.method.fit(bundle, ctx, plan, name)

    def _best_rate(self, bundle: Bundle, names: frozenset[str], ctx: Context) -> tuple[Bundle, FitResult]:
        """Each rate tried on a copy of the bundle; what was tried is noted."""
        tried: dict[str, float] = {}
        best: tuple[Bundle, FitResult] | None = None
        for rate in self.learning_rates:
            copy = bundle.copy()
            plan = self.plan().model_copy(update={"learning_rate": rate})
            result = self._fit(copy, names, ctx, plan, f"{self.name}-{rate:g}")
            score = ctx.evaluate(copy)
            if best is None or score > max(tried.values()):
                best = copy, result
            tried[f"{rate:g}"] = score
        ctx.note(select_by_learning_rate=tried, learning_rate=float(max(tried, key=tried.__getitem__)))
        return best or (bundle, FitResult(0, 0.0, 0, float("nan")))


def facts(result: FitResult) -> dict[str, object]:
    """A fit's result as plain data for the report; its seconds are the engine's to measure."""
    return {
        "steps": result.steps,
        "loss": result.loss,
        "trained_parameters": result.trained_parameters,
        **result.notes,
    }
