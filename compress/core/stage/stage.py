"""One step of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch, State
from compress.core.stage.artifact import Artifact
from compress.core.stage.context import Context
from compress.core.training.plan import TrainPlan
from compress.core.values import Name

__all__ = ["Stage"]


class Stage(Choice):
    """A frozen value. `decide` looks at the model and the data and returns a Change; `apply` makes it; `run` is both
    and whatever training follows. `guess` gives a change of the same size without data, on a model without weights.
    """

    leaf: ClassVar[bool] = False
    """An export: later stages work on what came before it."""
    explicit_start_after_export: ClassVar[bool] = False
    """Whether a stage that stands after an export must say what it works on."""
    bears: ClassVar[frozenset[State]] = frozenset()
    """Of `adapted` and `quantized`, the states of a model that it can work on."""

    id: Name | None = Field(None, description="the stage's name in the report; its own name unless given")
    start: Name | None = Field(None, description="the id of the stage to work on; the one before unless given")

    @property
    def draws_random_numbers(self) -> bool:
        """Whether another seed can give another result; such stages are repeated for each seed."""
        return False

    @property
    def needs_data(self) -> bool:
        """Whether it reads the train or select part."""
        return True

    def named_stages(self) -> dict[str, str]:
        """Field -> stage id, for every field that names an earlier stage besides `start` (`teacher`)."""
        return {}

    def accepts(self, field: str, named: Stage | None) -> str | None:
        """Why the earlier stage that `field` names (None: the model as given) cannot be what it is for, or None."""
        return None

    def reads(self) -> tuple[Path, ...]:
        """Files that decide its result besides model and data; their contents belong to its identity."""
        return ()

    def plan(self) -> TrainPlan | None:
        """The complete plan of its main training, or None where it does not train; for the prediction of cost."""
        return None

    def moves(self, bundle: Bundle) -> frozenset[str] | None:
        """Names of the parameters that its training moves in the model as it has changed it; None: it may move all."""
        return None

    def check_task(self, bundle: Bundle, task: object) -> None:
        """Raise `InputError` where the stage cannot work with such a model on the task; the model has no weights yet.

        Args:
            bundle: the model as the stage's guess has changed it.
        """

    def packages(self) -> tuple[tuple[str, str], ...]:
        """(package, extra) pairs that must be installed."""
        return ()

    def runtime_reference(self) -> Stage | None:
        """An export's twin that brings the uncompressed model to the same runtime at its default precision."""
        return None

    def refuses(self, sketch: Sketch) -> str | None:
        """Why it cannot work on such a model, or None."""
        return None

    def adds(self) -> frozenset[State]:
        """States that the model has afterwards."""
        return frozenset()

    def guess(self, sketch: Sketch) -> Change:
        """A change of the same size as `decide` will give, without data."""
        return Nothing()

    def guess_beside(self, sketch: Sketch, named: Mapping[str, Stage]) -> Change:
        """`guess`, where the stages that it names can say more; by the fields that name them."""
        return self.guess(sketch)

    def uncertainty(self, sketch: Sketch) -> str | None:
        """What only data decides, in words for `check` ('between 7.1 and 9.0 million parameters'), or None."""
        return None

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        """What a reader of its row should know, whatever comes out ("fewer bytes, the same FLOPs").

        Args:
            sketch: of the model that comes in.
        """
        return ()

    def predicted_bytes(self, sketch: Sketch) -> int | None:
        """About how large the files of an export become; None where the stage gives a model."""
        return None

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return Nothing()

    def apply(self, bundle: Bundle, change: Change) -> Bundle:
        changed = bundle.changed_by(change)
        changed.states = changed.states | self.adds()
        return changed

    def run(self, bundle: Bundle, ctx: Context) -> Bundle | Artifact:
        """Decide and apply. Stages that train afterwards override this and call `super().run` first.

        `bundle` belongs to the stage: it may be changed in place.
        """
        return self.apply(bundle, self.decide(bundle, ctx))

    def cut(self, before: Sketch, change: Change) -> dict[str, Any]:
        """What was cut, for the report's pictures; the change's own summary by default."""
        return change.summary()
