"""Files of a finished run that later comparisons read: its report, the answers beside each model, and their metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress.core.errors import InputError, UnknownName
from recipes.record import Report

if TYPE_CHECKING:
    from compress.core.answers import Known
    from finetune.tasks.metrics.metric import Metric
    from recipes.record import Row

__all__ = ["Judged", "answers_file", "judged", "read_run", "scoring"]


@dataclass(frozen=True)
class Judged:
    """A row's answers and the targets, by ascending row id."""

    answers: Known
    targets: Known

    def same_examples(self, other: Judged) -> bool:
        """Whether both were evaluated on the same examples with the same targets."""
        one, two = self.targets, other.targets
        return one.same_rows(two) and bool((one.values == two.values).all())

    def renumbered(self, numbers: Sequence[int]) -> Judged:
        """The same with class `i` called `numbers[i]`."""
        order = np.argsort(numbers)
        answers = replace(self.answers, values=self.answers.values[..., order])
        return Judged(answers, replace(self.targets, values=np.asarray(numbers)[self.targets.values]))


def read_run(run: Path) -> Report:
    """The report of a run.

    Raises:
        InputError: there is none, it was damaged since it was written, or it is one of another version.
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
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"report.json cannot be read: {_reason(error)}",
            where=str(run),
            advice="run the recipe again; what is whole is reused",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def answers_file(run: Path, row: Row) -> Path:
    """File with the logits on the evaluation split.

    Args:
        run: directory of the run.
        row: a row of its report.
    """
    return run / (row.path or "") / "logits.npz"


def judged(file: Path) -> Judged | None:
    """Answers and targets of a file; None where it has no targets.

    Raises:
        InputError: it was damaged since it was written.
    """
    from zipfile import BadZipFile

    from compress.core.answers import read_answers

    try:
        answers, targets = read_answers(file)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(
            f"the answers of a row cannot be read: {error}",
            where=str(file),
            advice="run the recipe again; what is whole is reused",
        ) from error
    return None if targets is None else Judged(answers.in_order(), targets.in_order())


def scoring(name: str) -> Metric:
    """The metric of that name.

    Raises:
        InputError: no metric has the name, so that its runs cannot be paired.
    """
    from finetune.tasks.metrics.metric import metric_named

    try:
        return metric_named(name)
    except UnknownName as error:
        raise InputError(f"runs judged by {name!r} cannot be paired", advice=error.advice) from None
