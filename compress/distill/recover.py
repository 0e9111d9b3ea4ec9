"""Recovery after compression: the training that every stage which prunes, factorizes, shares or converts can end with.

It lies here and not in `compress.core`, because its default is a distillation. Those stages have their parent beside
it, in `recovering`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from compress.core.checkpoint.resolve import files_in, resolve
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.corpus import TASK, Corpus, files_of
from compress.core.stage.requires import Data
from compress.core.values import OR_NONE, NamedFile, Settings
from compress.distill.loss import Loss
from compress.distill.losses.hidden_states import HiddenStates
from compress.distill.losses.labels import Labels
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.masked.heal import check_text_recovery, heal_on_text
from compress.distill.masked.model import refusal as masked_refusal
from compress.distill.objective import distillation, train

__all__ = ["MaybeRecover", "Recover", "heal"]

RECOVER_PLAN = TrainPlan(epochs=1, learning_rate=5e-5).over(DEFAULT_PLAN)


class Recover(Settings):
    """Recovery training after compression: by default a distillation, whose teacher is the best earlier row.

    The fields of `train` may also stand here themselves: `recover: {epochs: 1}`.
    """

    by: Literal["distillation", "task", "mlm"] = Field(
        "distillation",
        description="distillation: from the best earlier row; task: on the task's labels; mlm: on raw text, without "
        "labels (masked language modelling, and sentence order prediction where a text has two sentences)",
    )
    corpus: Corpus | None = Field(
        None, description="of mlm: `task` (the texts of train) unless given, or a file with one text on a line"
    )
    head: NamedFile | None = Field(
        None, description="of mlm: a checkpoint whose language modelling head it starts from; a fresh one unless given"
    )
    losses: tuple[Loss, ...] | None = Field(
        None, min_length=1, description="of a distillation; soft_targets and hidden_states unless given"
    )
    train: TrainPlan = Field(TrainPlan(), description="how long and how fast; its fields may also stand beside `by`")

    @model_validator(mode="before")
    @classmethod
    def _plan_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        here = {name: given for name, given in value.items() if name in TrainPlan.model_fields}
        if here and "train" in value:
            raise ValueError(
                f"{', '.join(here)} belongs either to 'recover' or to 'recover.train', not to both at once"
            )
        rest = {name: given for name, given in value.items() if name not in here}
        return {**rest, "train": here} if here else value

    @model_validator(mode="after")
    def _losses_fit(self) -> Recover:
        if self.by == "task" and self.losses is not None:
            raise ValueError("'by: task' trains on the labels alone; leave out 'losses', or 'by'")
        if self.by == "mlm" and self.losses is not None:
            raise ValueError("'by: mlm' trains on raw text alone; leave out 'losses', or 'by'")
        if self.by == "mlm" and self.train.patience is not None:
            raise ValueError("'patience' watches the task's metric, which 'by: mlm' does not train; leave it out")
        if self.by != "mlm" and (self.corpus or self.head):
            raise ValueError("'corpus' and 'head' go with 'by: mlm'")
        return self

    def plan(self) -> TrainPlan:
        return self.train.over(RECOVER_PLAN)

    def terms(self, *, same_width: bool = True) -> tuple[Loss, ...]:
        """The losses that are summed; unless given, those of the logits alone where the hidden sizes differ."""
        if self.by == "mlm":
            return ()
        if self.by == "task":
            return (Labels(),)
        return self.losses or ((SoftTargets(), HiddenStates()) if same_width else (SoftTargets(),))

    @property
    def needs_head(self) -> bool:
        """Whether the model's head must be trained for the task already."""
        return self.by != "mlm"

    @property
    def needs(self) -> frozenset[State]:
        """States that the model must have."""
        return frozenset({"head_trained"} if self.needs_head else ())

    @property
    def data(self) -> frozenset[Data]:
        """What it reads of *train*."""
        if self.by == "mlm":
            return frozenset({"texts"} if self.corpus in (None, TASK) else ())
        return frozenset({"rows", "labels"} if self.by == "task" else {"rows"})

    def reads(self) -> tuple[Path, ...]:
        """Files that decide the result: of the corpus, and of the checkpoint of the head."""
        head = resolve(self.head) if self.head else None
        return (*files_of(self.corpus or TASK), *(files_in(head) if isinstance(head, Path) else ()))

    def refuses(self, sketch: Sketch, *, narrower: bool = False) -> str | None:
        """Why such a model cannot recover this way, or None.

        Args:
            sketch: of the model before the stage.
            narrower: whether the stage makes the hidden size smaller.
        """
        if self.by == "mlm":
            why = masked_refusal(sketch.family)
            return f"recover by mlm: {why}; recover by distillation, or by task" if why else None
        if narrower and any(loss.on_tokens for loss in self.losses or ()):
            return "recover: hidden states of two sizes cannot be compared; leave that loss out"
        return None

    def check(self, bundle: Bundle) -> None:
        """Raise `InputError` where such a model, compressed already and maybe on meta, cannot recover this way."""
        if self.by == "mlm":
            check_text_recovery(bundle, head=self.head)

    @property
    def needs_teacher(self) -> bool:
        return any(loss.needs_teacher for loss in self.terms())


MaybeRecover = Annotated[Recover | None, OR_NONE]
"""`recover: none` (or null) leaves the compressed model untrained."""


def heal(bundle: Bundle, recover: Recover, ctx: Context, *, teacher: tuple[str, Bundle] | None) -> Bundle:
    """Recovery training of `bundle`, in place.

    The teacher's hidden size may be larger, since an earlier row may be the best one: then the default losses are the
    logits' alone.

    Args:
        bundle: the compressed model.
        recover: by which objective, with which plan.
        ctx: trains it and notes how it went.
        teacher: (name, bundle) of the teacher; None where none is needed.

    Raises:
        InputError: there is no data to train on.
        Refusal: the losses that were asked for do not fit the two models.
    """
    plan = recover.plan()
    if recover.by == "mlm":
        facts = heal_on_text(bundle, ctx, plan, corpus=recover.corpus or TASK, head=recover.head)
        ctx.note(recovery={"by": recover.by, **facts})
        return bundle
    name, model = teacher or (None, None)
    same_width = model is None or model.sketch().hidden == bundle.sketch().hidden
    objective = distillation(bundle, model, recover.terms(same_width=same_width), ctx, plan, name="recover")
    facts = train(bundle, objective, ctx, plan, name="recover", of="recovery")
    ctx.note(recovery={"by": recover.by, **({"teacher": name} if name else {}), **facts})
    return bundle
