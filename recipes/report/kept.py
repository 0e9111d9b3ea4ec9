"""What a run keeps for later comparisons: its report, the logits beside its models, the metric that judges them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.core.errors import InputError
from recipes.record import Report

if TYPE_CHECKING:
    import numpy as np

    from recipes.record import Row

__all__ = ["Answers", "NamedMetric", "answers", "answers_file", "read_run"]


@dataclass(frozen=True)
class Answers:
    """Row ids (examples,) in ascending order, with their logits (examples, labels) and labels (examples,)."""

    row_ids: np.ndarray
    logits: np.ndarray
    labels: np.ndarray

    def same_examples(self, other: Answers) -> bool:
        if len(self.row_ids) != len(other.row_ids):
            return False
        return bool((self.row_ids == other.row_ids).all() and (self.labels == other.labels).all())


def read_run(run: Path) -> Report:
    """The report of a run.

    Raises:
        InputError: there is none, or one of another version.
    """
    from pydantic import ValidationError

    try:
        return Report.read(run)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            "no run is here: there is no report.json", where=str(run), advice="name the directory of a run"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"report.json is not a report of this version: {error.errors()[0]['msg']}", where=str(run)
        ) from error


def answers_file(run: Path, row: Row) -> Path:
    return run / (row.path or "") / "logits.npz"


def answers(file: Path) -> Answers | None:
    """What the file holds; None where the labels are missing."""
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        if "labels" not in arrays:
            return None
        order = np.argsort(arrays["row_ids"], kind="stable")
        return Answers(arrays["row_ids"][order], arrays["logits"][order], arrays["labels"][order])


@dataclass(frozen=True)
class NamedMetric:
    """As much of a task as pairing needs."""

    metric: str

    @classmethod
    def of(cls, name: str) -> NamedMetric:
        """The metric of that name.

        Raises:
            InputError: no metric has the name, so that its runs cannot be paired.
        """
        from finetune.tasks.metrics import METRICS

        if name not in METRICS:
            raise InputError(f"runs judged by {name!r} cannot be paired", advice=f"one of: {', '.join(METRICS)}")
        return cls(name)

    @property
    def regression(self) -> bool:
        from finetune.tasks.metrics import REGRESSION

        return self.metric in REGRESSION

    def score(self, logits: np.ndarray, labels: np.ndarray) -> float:
        from finetune.tasks.metrics import METRICS

        return METRICS[self.metric](logits, labels)
