"""Fine-tune a model on the task."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.change import Change, Nothing, Several
from compress.core.model.sketch import Sketch, State
from compress.core.stage.context import Context
from compress.core.stage.during import During, going_on
from compress.core.stage.exhibit import loss_curve
from compress.core.stage.stage import Stage
from compress.core.training.fit import FitResult
from compress.core.training.plan import TrainPlan
from compress.core.values import Positive
from compress.quantize.stored import StoreLinears
from finetune.delta.record import base_fingerprint, delta_bytes
from finetune.method import Method, only_trained
from finetune.methods.full import Full

__all__ = ["Finetune"]


class Finetune(Stage):
    """Train the model, or a part of it, on the task's train split.

    What a method of few parameters moves is saved as a delta on the model that it started from; `merge` makes it a
    model of its own. With another `base` than fp32 the linears of the blocks are stored in fewer bits first, and stay
    as they are: Dettmers et al. 2023, arXiv 2305.14314, section 3; int8: Dettmers et al. 2022, arXiv 2208.07339.
    """

    explicit_start_after_export: ClassVar[bool] = True

    method: Method = Field(default_factory=Full, description="which parameters are trained")
    base: Literal["fp32", "bf16", "int8", "nf4", "fp4"] = Field(
        "fp32", description="how the frozen linears are stored while few parameters are trained; the head stays fp32"
    )
    train: TrainPlan = Field(default_factory=TrainPlan, description="how long and how fast")
    learning_rates: tuple[Positive, ...] = Field(
        (), description="rates to try; the one that is best on select is kept, the first of equals"
    )
    during: During | None = Field(None, description="what goes on inside the training: `{gradual: {to: 0.9}}`")

    @model_validator(mode="after")
    def _goes_on(self) -> Finetune:
        why = self._unfit_during(self.during) if self.during else None
        if why:
            raise ValueError(why)
        return self

    @property
    def draws_random_numbers(self) -> Literal[True]:
        return True

    def packages(self) -> tuple[tuple[str, str], ...]:
        return (("bitsandbytes", ""),) if self.base in ("int8", "nf4", "fp4") else ()

    def plan(self) -> TrainPlan:
        return self.train.over(self.method.plan())

    def moves(self, bundle: Bundle) -> frozenset[str] | None:
        return None if self.method.whole else self.method.trainable(bundle)

    def check_task(self, bundle: Bundle, task: object) -> None:
        self.method.check_task(bundle, task)

    def refuses(self, sketch: Sketch) -> str | None:
        if sketch.states & {"adapted", "quantized"}:
            return "the model is tuned already, and what was put into it is not merged; put `merge` before this stage"
        if self.base != "fp32" and self.method.whole:
            return (
                f"{self.method.name} moves every weight, and those of a base in {self.base} stay as they are; "
                "leave out `base`, or take another method"
            )
        if self.method.block_by_block and "shared" in sketch.states:
            return (
                f"blocks of this model share their tensors, and {self.method.name} changes those of each block in "
                "another way, so that they could not be merged; put `untie` before this stage, or take another method"
            )
        unfit = None if self.base == "fp32" else self._storage().refuses(sketch)
        of_during = self.during.refuses(sketch) if self.during else None
        return unfit or of_during or self.method.refuses(self._stored(sketch))

    def adds(self) -> frozenset[State]:
        stored: frozenset[State] = frozenset({"quantized"}) if self.base != "fp32" else frozenset()
        return frozenset[State]({"head_trained"}) | self.method.adds() | stored

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        return self.during.remarks(sketch) if self.during else ()

    def guess(self, sketch: Sketch) -> Change:
        change = self._structure(sketch)
        return Several(steps=(change, self.during.guess())) if self.during else change

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self._structure(bundle.sketch())

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
        bundle.states = bundle.states | self.adds()
        bundle.fresh = bundle.fresh - names
        bundle.tuned = None if self.method.whole else Tuned(self.method.name, kept, base_changes, fingerprint)
        ctx.show(*loss_curve(result.losses))
        ctx.note(**facts(result), delta_bytes=delta_bytes(bundle.model, kept), select=ctx.evaluate(bundle))
        return bundle

    def _structure(self, sketch: Sketch) -> Change:
        """What is changed before the training."""
        change = self.method.change(self._stored(sketch))
        if self.base == "fp32":
            return change
        return self._storage() if isinstance(change, Nothing) else Several(steps=(self._storage(), change))

    def _unfit_during(self, during: During) -> str | None:
        if not self.method.whole:
            return f"{during.name} works on all weights, and {self.method.name} trains few; take `method: full`"
        if self.method.freezes:
            return f"{during.name} works on all weights at once; leave out `unfreezing`"
        return during.unfit(self.plan())

    def _storage(self) -> StoreLinears:
        return StoreLinears.model_validate({"storage": self.base})

    def _stored(self, sketch: Sketch) -> Sketch:
        """The sketch as the method meets it."""
        return replace(sketch, states=sketch.states | {"quantized"}) if self.base != "fp32" else sketch

    def _prepared(self, bundle: Bundle, ctx: Context) -> Bundle:
        change = self.decide(bundle, ctx)
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
