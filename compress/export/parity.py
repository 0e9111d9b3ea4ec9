"""Parity of an exported model with PyTorch: largest difference of the logits, and agreement of the predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from compress.core.answers import Answers, Known, outside_torch
from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, evaluating
from compress.core.stage.artifact import Session
from compress.core.stage.task import TaskView
from compress.export.traceable import input_names

__all__ = ["Parity", "agreement", "compare"]


@dataclass(frozen=True)
class Parity:
    """Parity of two models: the largest absolute difference of a logit, and the `agreement`, over `rows` examples."""

    max_difference: float
    agreement: float
    rows: int


def compare(bundle: Bundle, sessions: tuple[Session, ...], batches: Iterable[Batch], *, task: TaskView) -> list[Parity]:
    """Parity of each session with PyTorch, on the same batches, and on one row alone.

    The single row fails where the exporter took the batch size for a constant.

    Args:
        bundle: the model in PyTorch.
        sessions: the exported model, opened in one or more ways.
        batches: encoded rows of *select*.
        task: reads answers out of outputs, and compares them.

    Raises:
        StageFailed: there are no rows, or the shapes differ.
    """
    expected: list[Known] = []
    given: list[list[Known]] = [[] for _ in sessions]
    for number, batch in enumerate(batches):
        for part in (batch, _first_row(batch)) if number == 0 else (batch,):
            arrays, answers = _in_pytorch(bundle, part, task)
            expected.append(answers)
            for session, collected in zip(sessions, given):
                outputs = {name: torch.from_numpy(values) for name, values in session.outputs(arrays).items()}
                collected.append(outside_torch(task.answers(outputs, {n: v.cpu() for n, v in part.items()})))
    if not expected:
        raise StageFailed("an export is checked on the select part, and that has no rows")
    return [_parity(task, Answers.joined(expected), Answers.joined(collected)) for collected in given]


def agreement(task: TaskView, expected: Known, given: Known) -> float:
    """Agreement: the share of rows with the same prediction; for regression the correlation of the two.

    Args:
        task: compares answers.
        expected: of PyTorch.
        given: of the exported model, for the same rows.
    """
    changed = task.changed(given, expected)
    if changed is not None:
        return float(np.mean(~changed))
    if np.array_equal(expected.values, given.values) or len(expected) < 2:
        return 1.0
    return float(np.corrcoef(expected.values.reshape(-1), given.values.reshape(-1))[0, 1])


def _parity(task: TaskView, expected: Known, given: Known) -> Parity:
    shapes = expected.values.shape, given.values.shape
    if shapes[0] != shapes[1]:
        raise StageFailed(f"the exported model gives logits of shape {shapes[1]}, PyTorch {shapes[0]}")
    difference = float(np.abs(expected.values - given.values).max())
    return Parity(difference, agreement(task, expected, given), len(expected))


def _in_pytorch(bundle: Bundle, batch: Batch, task: TaskView) -> tuple[dict[str, np.ndarray], Known]:
    names = input_names(bundle.model, batch)
    with evaluating(bundle.model), torch.inference_mode():
        outputs = bundle.model(**{name: batch[name].to(bundle.device) for name in names})
    return {name: batch[name].cpu().numpy() for name in names}, outside_torch(task.answers(outputs, batch))


def _first_row(batch: Batch) -> Batch:
    return {name: values[:1] for name, values in batch.items()}
