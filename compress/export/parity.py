"""Whether an exported model still gives the logits of the model that it came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, evaluating
from compress.core.stage.artifact import Session
from compress.export.traceable import input_names

__all__ = ["Parity", "agreement", "compare"]


@dataclass(frozen=True)
class Parity:
    """`max_difference` between logits; `agreement` as of `agreement`; over `rows` examples."""

    max_difference: float
    agreement: float
    rows: int


def compare(bundle: Bundle, sessions: tuple[Session, ...], batches: Iterable[Batch]) -> list[Parity]:
    """How each session differs from PyTorch, on the same batches, and on one row alone.

    The single row shows a batch size that the exporter took for a constant.
    """
    expected: list[np.ndarray] = []
    given: list[list[np.ndarray]] = [[] for _ in sessions]
    for number, batch in enumerate(batches):
        for part in (batch, _first_row(batch)) if number == 0 else (batch,):
            arrays, logits = _in_pytorch(bundle, part)
            expected.append(logits)
            for session, collected in zip(sessions, given):
                collected.append(session(arrays))
    if not expected:
        raise StageFailed("an export is checked on the select part, and that has no rows")
    return [_parity(np.concatenate(expected), np.concatenate(collected)) for collected in given]


def agreement(expected: np.ndarray, given: np.ndarray) -> float:
    """Share of rows with the same largest logit; for a single output, the correlation of the two.

    Args:
        expected: (rows, labels).
        given: the same shape.
    """
    if expected.shape[1] > 1:
        return float(np.mean(expected.argmax(1) == given.argmax(1)))
    if np.array_equal(expected, given) or len(expected) < 2:
        return 1.0
    return float(np.corrcoef(expected[:, 0], given[:, 0])[0, 1])


def _parity(expected: np.ndarray, given: np.ndarray) -> Parity:
    if expected.shape != given.shape:
        raise StageFailed(f"the exported model gives logits of shape {given.shape}, PyTorch {expected.shape}")
    return Parity(float(np.abs(expected - given).max()), agreement(expected, given), len(expected))


def _in_pytorch(bundle: Bundle, batch: Batch) -> tuple[dict[str, np.ndarray], np.ndarray]:
    names = input_names(bundle.model, batch)
    with evaluating(bundle.model), torch.inference_mode():
        logits = bundle.model(**{name: batch[name].to(bundle.device) for name in names}).logits
    return {name: batch[name].cpu().numpy() for name in names}, logits.float().cpu().numpy()


def _first_row(batch: Batch) -> Batch:
    return {name: values[:1] for name, values in batch.items()}
