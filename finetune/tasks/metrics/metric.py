"""What judges answers, found by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import numpy as np

from compress.core.answers import Beside, Known
from compress.core.choice import import_all
from compress.core.errors import UnknownName

__all__ = ["Metric", "metric_named"]

HOMES = ("finetune.tasks.metrics", "finetune.tasks")
"""Where metrics stand: those that several tasks may use, and those in a task's own file."""


class Metric(ABC):
    """A metric, and what it is for two answers to differ: `compress.core.stage.task.Scoring`.

    A member is one class with a `metric` name; subclassing is the registration.
    """

    metric: ClassVar[str] = ""

    @abstractmethod
    def score(self, answers: Known, targets: Known) -> float:
        """The metric; higher is better."""

    def is_share(self, answers: Known) -> bool:
        """Whether the metric is the share of rows that are `right`: then counts of rows decide the tests."""
        return False

    def beside(self, answers: Known, targets: Known) -> Beside:
        """The score of a constant answer and the share of the commonest one, as far as they are known."""
        return Beside()

    def right(self, answers: Known, targets: Known) -> np.ndarray | None:
        """(rows,) bool; None where an answer is more or less right, such as a number."""
        return None

    def changed(self, answers: Known, before: Known) -> np.ndarray | None:
        """(rows,) bool: whose answer differs; None where every answer does a little."""
        return None

    def mean_kl(self, answers: Known, before: Known) -> float | None:
        """KL(before || answers) in nats, the mean over items; None where answers are no distributions."""
        return None

    def confidence(self, answers: Known) -> np.ndarray:
        """(rows,): how sure each answer is, to show the surest first; all alike where answers do not tell."""
        return np.zeros(len(answers))


@cache
def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownName: no task has such a metric.
    """
    for home in HOMES:  # tasks are slower to import, and few have a metric of their own
        import_all(home)
        if name in (known := _below(Metric)):
            return known[name]()
    raise UnknownName("metric", name, known)


def _below(parent: Any) -> dict[str, Any]:
    """Name -> class, of all members."""
    found = {member.metric: member for member in parent.__subclasses__() if member.metric}
    return {**found, **{name: one for member in parent.__subclasses__() for name, one in _below(member).items()}}
