"""The head that a task needs, in the terms of a transformers configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Problem", "TaskHead"]

Problem = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True)
class TaskHead:
    """Head on the base model.

    Attributes:
        kind: `sequence_classification`, `token_classification`, ... as in transformers' AutoModelFor...
        labels: the names of the outputs in order; None keeps those of the checkpoint.
        problem: transformers' `problem_type`; None where the kind says enough.
    """

    kind: str
    labels: tuple[str, ...] | None = None
    problem: Problem | None = None

    @classmethod
    def of_labels(cls, kind: str, labels: tuple[str, ...] | None, *, regression: bool = False) -> TaskHead:
        """Head for one class of `labels` for each row, or one number.

        Args:
            kind: as in transformers' AutoModelFor...
            labels: names of the classes; None keeps those of the checkpoint.
            regression: one number instead of a class.
        """
        if regression:
            return cls(kind, labels or ("score",), "regression")
        return cls(kind, labels, None if labels is None else "single_label_classification")

    @property
    def names(self) -> tuple[str, ...] | None:
        """The labels that the configuration lists; a regression has none there."""
        return None if self.problem == "regression" else self.labels

    def settings(self) -> dict[str, Any]:
        """Fields of the configuration."""
        problem = {} if self.problem is None else {"problem_type": self.problem}
        if self.names is None:
            return {"num_labels": len(self.labels), **problem} if self.labels else problem
        names = dict(enumerate(self.names))
        return {"id2label": names, "label2id": {label: number for number, label in names.items()}, **problem}

    def identity(self) -> dict[str, Any]:
        """Its part of the identity of a model that is opened with it, by which finished stages are reused."""
        return {"head": self.kind, "labels": list(self.labels or ()), "regression": self.problem == "regression"}
