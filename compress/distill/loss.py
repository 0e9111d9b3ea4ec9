"""Distillation losses: what of the teacher's outputs a student is trained to match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from compress.core.answers import Answers
from compress.core.choice import Choice
from compress.core.model.evaluation import Batch
from compress.core.stage.task import Outputs, TaskView
from compress.core.values import Positive

__all__ = ["Loss", "Seen"]


@dataclass(frozen=True)
class Seen:
    """Outputs of student and teacher for one batch.

    Attributes:
        task: whose rows they are.
        batch: the rows, with their labels.
        outputs: of the student, with gradients.
        answers: of the teacher (its logits, spans or vectors) for the same rows; None where no loss needs a teacher.
        student_hidden: hidden states after each of the student's layers; empty where no loss compares tokens.
        teacher_hidden: layer of the teacher, from 0 -> its hidden states, for the layers that a loss asked for.
        teacher_layers: the teacher's number of layers.
        tokens: True for tokens that both models have: no padding, and no row that their tokenizers split differently.
    """

    task: TaskView
    batch: Batch
    outputs: Outputs
    answers: Answers[Tensor] | None = None
    student_hidden: tuple[Float[Tensor, "batch length width"], ...] = ()
    teacher_hidden: Mapping[int, Float[Tensor, "batch length width"]] = field(default_factory=dict)
    teacher_layers: int = 0
    tokens: Bool[Tensor, "batch length"] = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.bool))

    def student(self) -> Answers[Tensor]:
        """The student's answers."""
        return self.task.answers(self.outputs, self.batch)

    def teacher(self) -> Answers[Tensor]:
        """The teacher's answers; given wherever `needs_teacher` is True."""
        if self.answers is None:
            raise ValueError("this loss did not say that it needs a teacher")
        return self.answers


class Loss(Choice):
    """Distillation loss: one term of a weighted sum."""

    home: ClassVar[str] = "compress.distill.losses"
    plural: ClassVar[str] = "losses"
    needs_teacher: ClassVar[bool] = True
    on_tokens: ClassVar[bool] = False
    """Whether it compares token by token, so that both tokenizers must split a row into equally many tokens."""

    weight: Positive = Field(1.0, description="factor of this loss in the sum")

    def layer_pairs(self, student: int, teacher: int) -> tuple[tuple[int, int], ...]:
        """(student's layer, teacher's layer) pairs, from 0, whose hidden states it compares.

        Args:
            student: number of layers of the student.
            teacher: number of layers of the teacher.

        Raises:
            InputError: the setting names a layer that one of the two does not have.
        """
        return ()

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """The loss of a batch, before it is multiplied by `weight`."""
        raise NotImplementedError
