"""A student of fewer layers learns from its teacher."""

from __future__ import annotations

from pydantic import Field, model_validator

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Several
from compress.core.model.sketch import Sketch, State
from compress.core.stage.context import Context
from compress.core.stage.during import During, going_on
from compress.core.stage.stage import Stage
from compress.core.surgery.changes import KeepLayers
from compress.core.training.plan import DEFAULT_PLAN, TrainPlan
from compress.core.values import Count, Name, Settings
from compress.distill.layer_map import kept_layers
from compress.distill.loss import Loss
from compress.distill.losses.hidden_states import HiddenStates
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.objective import distillation, train

__all__ = ["Distill", "Student"]

DISTILL_PLAN = TrainPlan(epochs=4, learning_rate=1e-4).over(DEFAULT_PLAN)
UNFIT: tuple[tuple[State, str], ...] = (
    ("quantized", "its weights are quantized; distil before 'quantize'"),
    ("fake_quantized", "it holds fake quantisation; distil before it"),
    ("adapted", "it holds adapters; merge them first"),
)


class Student(Settings):
    """What the student is: a copy of some layers, with the embeddings and the head."""

    layers: Count | tuple[int, ...] | None = Field(
        None, description="how many, evenly spaced with both ends; or which, from 0; every other one unless given"
    )


class Distill(Stage):
    """A student made of some of the model's layers, trained to answer as the teacher does.

    The student is a copy of layers of the model that comes in, which is the teacher too unless `teacher` names an
    earlier stage. The plan's defaults, 4 epochs at 1e-4, lie between the 3 epochs at 5e-5 of fine-tuning (Devlin et
    al. 2019, arXiv 1810.04805, section A.3) and the 10 to 20 epochs of TinyBERT's task distillation (arXiv
    1909.10351, section 4.2): a student that starts from every other layer is far from its teacher at first, and
    narrow models take the higher rate.

    References:
        Sanh et al. 2019, arXiv 1910.01108.
    """

    teacher: Name | None = Field(None, description="id of an earlier stage; the model that comes in unless given")
    student: Student = Field(Student(), description="what the student is made of")
    losses: tuple[Loss, ...] = Field((SoftTargets(), HiddenStates()), min_length=1, description="terms of the sum")
    train: TrainPlan = Field(TrainPlan(), description="how long and how fast")
    during: During | None = Field(None, description="what goes on inside the training: `{gradual: {to: 0.9}}`")

    @model_validator(mode="after")
    def _goes_on(self) -> Distill:
        why = self.during.unfit(self.plan()) if self.during else None
        if why:
            raise ValueError(why)
        return self

    @property
    def draws_random_numbers(self) -> bool:
        return True

    def named_stages(self) -> dict[str, str]:
        return {"teacher": self.teacher} if self.teacher else {}

    def plan(self) -> TrainPlan:
        return self.train.over(DISTILL_PLAN)

    def adds(self) -> frozenset[State]:
        return frozenset({"head_trained"})

    def refuses(self, sketch: Sketch) -> str | None:
        if self.teacher is None and "head_trained" not in sketch.states:
            return "the teacher's head is not trained for the task; fine-tune first, or name a 'teacher'"
        if why := sketch.unfit(UNFIT):
            return f"distill cannot take layers out of this model: {why}"
        try:
            sketch.family.require("layers", stage="distill")
            kept = kept_layers(self.student.layers, sketch.layers)
            if self.teacher is None:
                _ = [loss.layer_pairs(len(kept), sketch.layers) for loss in self.losses]
        except InputError as error:
            return str(error)
        if sketch.family.needs_first_layer and kept[0] != 0:
            return f"the first layer of this family must stay: {sketch.family.needs_first_layer}"
        return self.during.refuses(sketch) if self.during else None

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        return self.during.remarks(sketch) if self.during else ()

    def guess(self, sketch: Sketch) -> Change:
        layers = self._layers(sketch)
        return Several(steps=(layers, self.during.guess())) if self.during else layers

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self._layers(bundle.sketch())

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        ctx = going_on(ctx, self.during)
        needed = any(loss.needs_teacher for loss in self.losses)
        teacher = self._teacher(bundle, ctx) if needed else None
        student = self.apply(bundle, self.decide(bundle, ctx))
        plan = self.plan()
        objective = distillation(student, teacher, self.losses, ctx, plan, name="distill")
        del teacher  # Its outputs may all be cached, and then its weights only take memory.
        facts = train(student, objective, ctx, plan, name="distill")
        ctx.note(**({"teacher": self.teacher or "the model that came in"} if needed else {}), **facts)
        return student

    def _layers(self, sketch: Sketch) -> KeepLayers:
        return KeepLayers(kept=kept_layers(self.student.layers, sketch.layers), of=sketch.layers)

    def _teacher(self, bundle: Bundle, ctx: Context) -> Bundle:
        if self.teacher is None:
            return bundle.copy()
        if self.teacher not in ctx.earlier:
            raise InputError(f"no earlier stage is called {self.teacher!r}", given=sorted(ctx.earlier))
        return ctx.earlier[self.teacher]()
