"""What goes on inside a training, beside what it minimises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from compress.core.choice import Choice
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context

__all__ = ["During", "DuringHook", "going_on"]


class DuringHook(Hook):
    """A hook that leaves something in the bundle when the training is over."""

    def finish(self) -> dict[str, Any]:
        """Put what became of the bundle into it, in place; what the report says of it."""
        raise NotImplementedError


class During(Choice):
    """What a training does to a model besides moving its weights: a stage that trains takes it as `during:`."""

    home: ClassVar[str] = "compress.prune.gradual"
    plural: ClassVar[str] = "during"

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """States of a model in whose training it cannot go on."""
        return frozenset()

    def refuses(self, sketch: Sketch) -> str | None:
        """Why it cannot go on while such a model is trained, for other reasons than its states; or None."""
        return None

    def refuses_plan(self, plan: TrainPlan) -> str | None:
        """Why it cannot go on in a training by such a plan, or None."""
        return None

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        """What a reader of the stage's row should know, whatever comes out."""
        return ()

    def guess(self) -> Change:
        """A change of the same size as it will make, without data."""
        return Nothing()

    def bytes_per_weight(self) -> int:
        """What it holds for each weight that is masked in the end, besides the mask, while the model is trained."""
        return 0

    def hook(self, bundle: Bundle, ctx: Context) -> DuringHook:
        """What acts inside one fit of `bundle`."""
        raise NotImplementedError


def going_on(ctx: Context, during: During | None) -> Context:
    """The context in whose fits `during` goes on; the same context where it is None.

    What it says of itself is noted, and stands in each result too: of several fits only one may be the stage's.
    """
    if during is None:
        return ctx

    def fit(bundle: Bundle, *args: Any, hooks: Sequence[Hook] = (), **settings: Any) -> FitResult:
        hook = during.hook(bundle, ctx)
        result = ctx.fit(bundle, *args, hooks=(*hooks, hook), **settings)
        found = {during.name: hook.finish()}
        ctx.note(**found)
        return replace(result, notes={**result.notes, **found})

    return replace(ctx, fit=fit)
