"""Declaration: the dry run of a stage on a model of given shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.model.state import State, obstacles

if TYPE_CHECKING:
    from compress.core.stage.stage import Stage

__all__ = ["UNMERGED", "Declaration", "Training", "moves_all", "nothing_cached"]

UNMERGED: frozenset[State] = frozenset({"adapted", "quantized"})
"""States in which most stages cannot work on a model's linears."""
NO_ALTERNATIVES: Mapping[State, str] = MappingProxyType({})


def moves_all(bundle: Bundle) -> None:
    """None: a training that may update every parameter.

    Args:
        bundle: the model.
    """


def nothing_cached(bundle: Bundle, rows: int) -> None:
    """None: a training in which the whole model runs in every step.

    Args:
        bundle: the model.
        rows: of *train*.
    """


@dataclass(frozen=True)
class Training:
    """The main training of a stage, from which memory and FLOPs are predicted.

    Attributes:
        plan: the complete plan.
        change: made before the training, where a part of it is taken out again afterwards; None where all of it stays,
            and it is the declared one.
        moves: (model as the stage has changed it) -> names of the trainable parameters; None where all are.
        taught: whether a teacher runs beside the model.
        teacher: id of the stage whose model is the teacher; the model that comes in unless given.
        copies: of the whole model that are kept during the training.
        mask_bytes: held for each weight that is masked at the end, besides its mask.
        cached: (model, rows) -> bytes of cached features, where these are computed once and only the layers behind them
            are trained; None where the whole model runs in every step.
    """

    plan: TrainPlan
    change: Change | None = None
    moves: Callable[[Bundle], frozenset[str] | None] = moves_all
    taught: bool = False
    teacher: str | None = None
    copies: int = 0
    mask_bytes: int = 0
    cached: Callable[[Bundle, int], int | None] = nothing_cached


@dataclass(frozen=True)
class Declaration:
    """Dry run of a stage: everything that is known of its work before it runs, given a sketch of the model.

    Attributes:
        refusal: why it cannot work on such a model, for reasons that are not the model's states alone; or None.
        needs, forbids: states that the model must have, and must not have.
        otherwise: for one of these states, what can be done besides the usual mend ("name a `teacher`").
        adds: states of the result that no change can know; all others are set by the changes.
        change: of the size that `run` will decide, made without data.
        training: the main training, or None.
        remarks: on the stage's row of the report, whatever the result ("fewer bytes, the same FLOPs").
        uncertain: what only data decides ("between 7.1 and 9.0 million parameters stay"), or None.
        bytes: estimated size of an export's files; None where the stage gives a model.
        runtime, precision: of the result.
        reference: for an export, the stage that exports the uncompressed model to the same runtime at its usual
            precision.
        offer: what later stages that name this one may read of its result, of a type that both import.
    """

    refusal: str | None = None
    needs: frozenset[State] = frozenset()
    forbids: frozenset[State] = UNMERGED
    otherwise: Mapping[State, str] = field(default_factory=lambda: NO_ALTERNATIVES)
    adds: frozenset[State] = frozenset()
    change: Change = field(default_factory=Nothing)
    training: Training | None = None
    remarks: tuple[str, ...] = ()
    uncertain: str | None = None
    bytes: int | None = None
    runtime: str = "pytorch"
    precision: str = "fp32"
    reference: Stage | None = None
    offer: Any = None

    def why_not(self, sketch: Sketch, *, stage: str, start: str = "the model") -> str | None:
        """Why the stage cannot work on such a model, and what to do about it; None where it can.

        Args:
            sketch: the one that this declaration was made for.
            stage: the id of the stage.
            start: the id of the stage that gave the model.
        """
        states = obstacles(sketch.states, needs=self.needs, forbids=self.forbids, otherwise=self.otherwise)
        why = next(states, None)
        return f"{stage} cannot work on {start}: {why}" if why else self.refusal

    def moves(self, bundle: Bundle) -> frozenset[str] | None:
        """Names of the trainable parameters, where these are not all: then the result is saved as a delta.

        Args:
            bundle: the model as the stage changed it.
        """
        return self.training.moves(bundle) if self.training else None

    def trained(self, bundle: Bundle) -> Bundle:
        """The bundle during the training, up to the values of its weights; it may be changed in place."""
        larger = self.training.change if self.training else None
        return bundle.changed_by(self.change if larger is None else larger)

    def applied(self, bundle: Bundle) -> Bundle:
        """The bundle after the declared change, up to the values of its weights; it may be changed in place."""
        changed = bundle.changed_by(self.change)
        changed.states = changed.states | self.adds
        return changed
