"""Compression during training, by a hook beside the objective, such as gradual pruning."""

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
    """Training hook that changes the bundle when the training is over."""

    def finish(self) -> dict[str, Any]:
        """Write the result (masks, for instance) into the bundle, in place; returns facts for the report."""
        raise NotImplementedError


class During(Choice):
    """Compression during training, such as gradual pruning: a stage that trains takes it as `during:`."""

    home: ClassVar[str] = "compress.prune.gradual"
    plural: ClassVar[str] = "during"

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """States of a model in whose training it cannot take part."""
        return frozenset()

    def refuses(self, sketch: Sketch) -> str | None:
        """Why it cannot take part in the training of such a model, for other reasons than its states; or None."""
        return None

    def refuses_plan(self, plan: TrainPlan) -> str | None:
        """Why it cannot take part in a training by such a plan, or None."""
        return None

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        """Remarks on the stage's row of the report, whatever the result."""
        return ()

    def guess(self) -> Change:
        """A change of the same size as the one that it will make, without data."""
        return Nothing()

    def bytes_per_weight(self) -> int:
        """Bytes held during the training for each weight that is masked at the end, besides the mask."""
        return 0

    def hook(self, bundle: Bundle, ctx: Context) -> DuringHook:
        """The training hook for one fit of `bundle`."""
        raise NotImplementedError


def going_on(ctx: Context, during: During | None) -> Context:
    """The context with the hook of `during` in each of its fits; the same context where it is None.

    The hook's facts are noted, and are in each fit's result too, since not every fit need be the stage's main one.

    Args:
        ctx: of the stage.
        during: what takes part in its fits.
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
