"""What a stage says of its work on a model of given shapes, before it runs."""

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
"""States of a model on whose linears most stages cannot work."""
NO_ALTERNATIVES: Mapping[State, str] = MappingProxyType({})


def moves_all(bundle: Bundle) -> None:
    """Of a training that may move every parameter."""


def nothing_cached(bundle: Bundle, rows: int) -> None:
    """Of a training in which the whole model runs in every step."""


@dataclass(frozen=True)
class Training:
    """The main training of a stage, for what it will cost.

    Attributes:
        plan: complete.
        moves: names of the parameters that move in the model as the stage has changed it; None where all may.
        taught: whether a teacher answers beside the model.
        teacher: id of the stage whose model that is; the model that comes in unless given.
        copies: copies of the whole model that are kept meanwhile.
        mask_bytes: held for each weight that is masked in the end, besides its mask.
        cached: bytes of the features of (model, so many rows) where these are computed once and only what is behind
            them learns; None where the whole model runs in every step.
    """

    plan: TrainPlan
    moves: Callable[[Bundle], frozenset[str] | None] = moves_all
    taught: bool = False
    teacher: str | None = None
    copies: int = 0
    mask_bytes: int = 0
    cached: Callable[[Bundle, int], int | None] = nothing_cached


@dataclass(frozen=True)
class Declaration:
    """Everything that may be asked of a stage before it runs, given a sketch of the model that comes in.

    Attributes:
        refusal: why it cannot work on such a model, for reasons that are not the model's states alone; or None.
        needs, forbids: states that the model must have, and must not have.
        otherwise: for one of these states, what can be done besides the usual mend ("name a `teacher`").
        adds: states of the result that no change can know; all others are set by the changes.
        change: of the size that `run` will decide, found without data.
        training: the main training, or None.
        remarks: what a reader of the row should know, whatever comes out ("fewer bytes, the same FLOPs").
        uncertain: what only data decides ("between 7.1 and 9.0 million parameters stay"), or None.
        bytes: about how large the files of an export become; None where the stage gives a model.
        runtime, precision: of what comes out.
        reference: an export's twin, which brings the uncompressed model to the same runtime at its usual precision.
        offer: what a later stage that names this one may ask about its result; both know its type.
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
            sketch: the one that the stage declared itself on.
            stage: the id of the stage.
            start: the id of the stage that gave the model.
        """
        states = obstacles(sketch.states, needs=self.needs, forbids=self.forbids, otherwise=self.otherwise)
        why = next(states, None)
        return f"{stage} cannot work on {start}: {why}" if why else self.refusal

    def moves(self, bundle: Bundle) -> frozenset[str] | None:
        """Names of the parameters that its training moves, where that is not the whole model: it is saved as a delta.

        Args:
            bundle: the model as the stage changed it.
        """
        return self.training.moves(bundle) if self.training else None

    def applied(self, bundle: Bundle) -> Bundle:
        """The bundle as it will be afterwards, but for the values of its weights; it may be changed in place."""
        changed = bundle.changed_by(self.change)
        changed.states = changed.states | self.adds
        return changed
