"""Knowledge distillation: a student of fewer layers is trained to match its teacher."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from compress.core.errors import InputError
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.change import Nothing
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration, Training
from compress.core.stage.during import going_on
from compress.core.stage.requires import Requires
from compress.core.stage.trains import Trains
from compress.core.surgery.changes import KeepLayers
from compress.core.values import Count, Name, Settings
from compress.distill.layer_map import kept_layers
from compress.distill.loss import Loss
from compress.distill.losses.hidden_states import HiddenStates
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.objective import distillation, train

__all__ = ["Distill", "Student"]

DISTILL_PLAN = TrainPlan(epochs=4, learning_rate=1e-4).over(DEFAULT_PLAN)


class Student(Settings):
    """Initialisation of the student: a copy of some layers, with the embeddings and the head."""

    layers: Count | tuple[int, ...] | None = Field(
        None, description="how many, evenly spaced with both ends; or which, from 0; half of them unless given"
    )


class Distill(Trains):
    """Knowledge distillation: a student made of some of the model's layers is trained to match the teacher's outputs.

    The student is a copy of layers of the model that comes in, which is the teacher too unless `teacher` names an
    earlier stage. The plan's defaults, 4 epochs at 1e-4, lie between the 3 epochs at 5e-5 of fine-tuning (Devlin et
    al. 2019, arXiv 1810.04805, section A.3) and the 10 to 20 epochs of TinyBERT's task distillation (arXiv
    1909.10351, section 4.2): a student that starts from every other layer is far from its teacher at first, and
    models of a small hidden size take the higher learning rate.

    References:
        Hinton et al. 2015, arXiv 1503.02531; Sanh et al. 2019, arXiv 1910.01108.
    """

    teacher: Name | None = Field(None, description="id of an earlier stage; the model that comes in unless given")
    student: Student = Field(Student(), description="what the student is made of")
    losses: tuple[Loss, ...] = Field((SoftTargets(), HiddenStates()), min_length=1, description="summed by weight")

    def requires(self) -> Requires:
        names = {"teacher": self.teacher} if self.teacher else {}
        return Requires(names=names, draws=True, data=frozenset({"rows"}))

    def plan(self) -> TrainPlan:
        return self.train.over(DISTILL_PLAN)

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        refusal = self._refusal(sketch)
        declared = Declaration(
            refusal=refusal,
            needs=frozenset({"head_trained"} if self.teacher is None else ()),
            otherwise={"head_trained": "name a `teacher`"},
            adds=frozenset({"head_trained"}),
            change=Nothing() if refusal else self._layers(sketch),
            training=Training(self.plan(), taught=self._taught, teacher=self.teacher),
        )
        return self.with_during(declared, sketch)

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        ctx = going_on(ctx, self.during)
        teacher = self._teacher(bundle, ctx) if self._taught else None
        student = bundle.changed_by(self._layers(bundle.sketch()))
        student.states = student.states | {"head_trained"}
        plan = self.plan()
        objective = distillation(student, teacher, self.losses, ctx, plan, name="distill")
        del teacher  # Its outputs may all be cached, and then its weights only take memory.
        facts = train(student, objective, ctx, plan, name="distill")
        ctx.note(**({"teacher": self.teacher or "the model that came in"} if self._taught else {}), **facts)
        return student

    @property
    def _taught(self) -> bool:
        return any(loss.needs_teacher for loss in self.losses)

    def _refusal(self, sketch: Sketch) -> str | None:
        try:
            sketch.family.require("layers", stage="distill")
            kept = kept_layers(self.student.layers, sketch.layers)
            if self.teacher is None:
                _ = [loss.layer_pairs(len(kept), sketch.layers) for loss in self.losses]
        except InputError as error:
            return str(error)
        if sketch.family.needs_first_layer and kept[0] != 0:
            return f"the first layer of this family must stay: {sketch.family.needs_first_layer}"
        return None

    def _layers(self, sketch: Sketch) -> KeepLayers:
        return KeepLayers(kept=kept_layers(self.student.layers, sketch.layers), of=sketch.layers)

    def _teacher(self, bundle: Bundle, ctx: Context) -> Bundle:
        if self.teacher is None:
            return bundle.copy()
        if self.teacher not in ctx.earlier:
            raise InputError(f"no earlier stage is called {self.teacher!r}", given=sorted(ctx.earlier))
        return ctx.earlier[self.teacher]()
