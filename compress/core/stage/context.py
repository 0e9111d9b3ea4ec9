"""Context of a stage's run: task, training, evaluation on select, earlier bundles. Never the evaluation split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from compress.core.answers import Known
from compress.core.errors import InputError
from compress.core.fit.protocol import Fit, Objective
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.exhibit import Exhibit
from compress.core.stage.task import TaskView

__all__ = ["BatchSource", "Context"]


BatchSource = Callable[..., Iterator[Batch]]


def _no_data(*_: Any, **__: Any) -> Any:
    raise InputError(
        "this stage needs data, and none was given", advice="name a task in the recipe, or build the Context with one"
    )


@dataclass
class Context:
    """Context that `Stage.run` is given. A function that is not set raises `InputError` when it is called.

    Attributes:
        task: the task, or None where a stage needs none.
        fit: trains a bundle in place on the *train* part.
        batches: `batches(bundle, part="train" | "select", count=None, batch_size=32)` yields encoded batches on the
            bundle's device; `count` batches drawn by the seed and of the served lengths, or all rows in order.
        texts: `texts("train" | "select")` gives the raw text columns of that part, one list or two.
        targets: `targets("train" | "select")` gives the labels of that part, in the order of its rows.
        evaluate: `evaluate(bundle)` is the task's metric on *select*, higher is better.
        earlier: stage id -> a function that loads that stage's bundle.
        places: stage id -> the directory of that stage, with its files.
        best: the id and bundle of the best earlier row on *select* (a tuple), or None where there is none.
        scratch: a directory of the stage for temporary files.
        left: a directory of the stage for files that stay beside its result, also after an interruption.
        facts: what `note` collected; shown in the report.
        exhibits: what `show` collected; drawn in the report.
    """

    task: TaskView | None = None
    fit: Fit = _no_data
    batches: BatchSource = _no_data
    texts: Callable[[Literal["train", "select"]], tuple[Sequence[str], ...]] = _no_data
    targets: Callable[[Literal["train", "select"]], Known] = _no_data
    evaluate: Callable[[Bundle], float] = _no_data
    earlier: Mapping[str, Callable[[], Bundle]] = field(default_factory=dict)
    places: Mapping[str, Path] = field(default_factory=dict)
    best: Callable[[], tuple[str, Bundle] | None] = lambda: None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    scratch: Path | None = None
    left: Path | None = None
    part_fingerprints: Mapping[Literal["train", "select"], str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    exhibits: list[Exhibit] = field(default_factory=list)

    def note(self, **facts: Any) -> None:
        """Facts for the report: plain data (numbers, strings, lists, mappings)."""
        self.facts.update(facts)

    def show(self, *exhibits: Exhibit) -> None:
        """Heat maps, curves, spectra or tables for the report."""
        self.exhibits.extend(exhibits)

    def generator(self) -> torch.Generator:
        """A fresh random generator on the CPU, seeded with the run's seed."""
        return torch.Generator().manual_seed(self.seed)

    def task_objective(self) -> Objective:
        if self.task is None:
            return _no_data()
        return self.task.objective
