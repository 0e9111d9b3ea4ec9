"""Distillation objective: the weighted sum of a student's losses against one teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, Refusal, StageFailed
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, model_inputs, real_tokens
from compress.core.stage.context import Context
from compress.core.stage.exhibit import loss_curve
from compress.core.stage.task import Outputs, TaskView
from compress.distill.cache.filling import NoRoom
from compress.distill.cache.teacher import cached_teacher
from compress.distill.loss import Loss, Seen
from compress.distill.teacher import LiveTeacher, Taught, Teacher, outputs_and_hidden, same_inputs
from compress.distill.terms import Terms

__all__ = ["Distillation", "distillation", "read_once", "train"]

NOTED = ("batch_size_used", "accumulation_used")
"""Notes of a fit that go into the report; a fit has them where memory ran out."""
FEW_ROWS = 16_384
"""A fit of fewer rows than this runs the teacher batch by batch: a pass over all of *train* may cost more."""


class Distillation(Hook):
    """Distillation objective for `fit`, and a training hook at once.

    It keeps the terms of each batch; being a hook, it does so across an interruption.

    Args:
        losses: the terms.
        teacher: gives the teacher's outputs for a batch; None where no loss needs one.
        task: reads answers out of the student's outputs.
        depth: number of layers of the teacher.
    """

    def __init__(self, losses: tuple[Loss, ...], teacher: Teacher | None, *, task: TaskView, depth: int = 0) -> None:
        self.losses, self.teacher, self.task, self.depth = losses, teacher, task, depth
        self.on_tokens = any(loss.on_tokens for loss in losses)
        self.terms = Terms(len(losses))

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        outputs, hidden = outputs_and_hidden(model, model_inputs(batch), hidden=self.on_tokens)
        taught = self.teacher(batch) if self.teacher else None
        seen = self._seen(batch, outputs, hidden, taught)
        values = torch.stack([loss.weight * loss.value(seen) for loss in self.losses])
        self.terms.add(values)
        return values.sum()

    def _seen(self, batch: Batch, outputs: Outputs, hidden: tuple[Tensor, ...], taught: Taught | None) -> Seen:
        if taught is None:
            return Seen(task=self.task, batch=batch, outputs=outputs)
        found = Seen(self.task, batch, outputs, taught.answers, hidden, taught.hidden, self.depth)
        if not hidden:
            return found
        tokens = real_tokens(batch, hidden[0])
        if taught.matched is not None:
            tokens = tokens & taught.matched[:, None]
        return replace(found, tokens=tokens)

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"last": self.terms.state(), **(self.teacher.state_dict() if self.teacher else {})}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.terms.restore(state["last"])
        if self.teacher:
            self.teacher.load_state_dict(state)

    def facts(self, steps: int) -> dict[str, Any]:
        """For the report: the weighted terms at the end of the training, and where the teacher's outputs came from.

        Args:
            steps: of the whole training.
        """
        found: dict[str, Any] = {}
        if means := self.terms.means(steps):
            found["losses"] = {_label(self.losses, i): mean for i, mean in enumerate(means)}
        return {**found, "teacher_outputs": self.teacher.facts()} if self.teacher else found


def distillation(
    student: Bundle, teacher: Bundle | None, losses: tuple[Loss, ...], ctx: Context, plan: TrainPlan, *, name: str
) -> Distillation:
    """The distillation objective for `student`.

    The teacher's outputs are cached over *train* where the training reads rows more than once, or where the two models
    take different inputs; a training that reads each row at most once runs the teacher batch by batch, at equal cost.

    Args:
        student: the model that is trained.
        teacher: the model whose outputs it is trained to match; may be None where no loss needs one.
        losses: the terms.
        ctx: task, batches and scratch.
        plan: the complete plan of the training.
        name: of the fit; the cache lies beside it in scratch.

    Raises:
        Refusal: the two models' labels or hidden sizes differ, or a model does not give what a loss compares.
        StageFailed: the disk is full and the two models take different inputs.
    """
    if ctx.task is None:
        raise InputError("a distillation needs a task", advice="name a task in the recipe")
    if teacher is None or not any(loss.needs_teacher for loss in losses):
        return Distillation(losses, None, task=ctx.task)
    _comparable(student, teacher, losses)
    depth = teacher.sketch().layers
    pairs = [pair for loss in losses for pair in loss.layer_pairs(student.sketch().layers, depth)]
    layers = tuple(sorted({of_teacher for _, of_teacher in pairs}))
    source = _teacher(student, teacher.to(ctx.device), ctx, ctx.task, plan, layers=layers, name=name)
    return Distillation(losses, source, task=ctx.task, depth=depth)


def train(
    student: Bundle, objective: Distillation, ctx: Context, plan: TrainPlan, *, name: str, of: str = ""
) -> dict[str, Any]:
    """Fit `student` in place and show its loss curve in the report.

    Args:
        student: the model that is trained.
        objective: what is minimised.
        ctx: trains it.
        plan: the complete plan.
        name: of the fit.
        of: what the report calls the training, where it is not the stage's own.

    Returns:
        What the report says: steps, loss, the terms at the end, and where the teacher's outputs came from.
    """
    result: FitResult = ctx.fit(student, objective, plan, name=name, hooks=(objective,))
    ctx.show(*loss_curve(result.losses, of=of))
    noted = {name: result.notes[name] for name in NOTED if name in result.notes}
    return {"steps": result.steps, "loss": result.loss, **noted, **objective.facts(result.steps)}


def read_once(plan: TrainPlan) -> bool:
    """Whether the training reads each row at most once, or few rows in all."""
    if plan.max_steps is not None:
        return plan.max_steps * (plan.batch_size or 1) * (plan.accumulation or 1) <= FEW_ROWS
    return plan.epochs is not None and plan.epochs <= 1


def _teacher(
    student: Bundle,
    teacher: Bundle,
    ctx: Context,
    task: TaskView,
    plan: TrainPlan,
    *,
    layers: tuple[int, ...],
    name: str,
) -> Teacher:
    same = same_inputs(student, teacher)
    precision = plan.precision or "auto"
    live = LiveTeacher(teacher, task, layers=layers, precision=precision)
    if same and read_once(plan):
        return live
    if ctx.scratch is None:
        raise InputError("a distillation needs a scratch directory", advice="give the Context one: scratch=Path(...)")
    directory = Path(ctx.scratch) / f"teacher-{name}"
    try:
        return cached_teacher(teacher, ctx, task, directory=directory, layers=layers, precision=precision)
    except NoRoom:
        if not same:
            advice = "free disk space, or leave out the loss on hidden states"
            raise StageFailed("the disk is too full for the teacher's hidden states", advice=advice) from None
    ctx.note(disk_too_full="the teacher's hidden states did not fit on the disk; they are computed for each batch")
    return live


def _comparable(student: Bundle, teacher: Bundle, losses: tuple[Loss, ...]) -> None:
    labels = [bundle.config.num_labels for bundle in (student, teacher)]
    if labels[0] != labels[1]:
        raise Refusal(f"the student has {labels[0]} labels and the teacher {labels[1]}", advice="name another teacher")
    widths = [bundle.sketch().hidden for bundle in (student, teacher)]
    if widths[0] != widths[1] and any(loss.on_tokens for loss in losses):
        what = f"hidden_states compares equal hidden sizes; the student has {widths[0]} and the teacher {widths[1]}"
        raise Refusal(what, advice="leave out the loss 'hidden_states', or name a teacher of the same hidden size")


def _label(losses: tuple[Loss, ...], index: int) -> str:
    earlier = sum(loss.name == losses[index].name for loss in losses[:index])
    return losses[index].name + (f"-{earlier + 1}" if earlier else "")
