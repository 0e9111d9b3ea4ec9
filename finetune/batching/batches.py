"""Batches of a task's rows, encoded for a certain model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from compress.core.fit.protocol import Texts
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import position_limit
from compress.core.model.evaluation import NOT_INPUTS, Batch, accepted
from compress.core.stage.task import DEFAULT_LENGTH
from finetune.batching.fitting import check_encoded
from finetune.batching.sampler import grouped_order
from finetune.tasks.encoding import EncodedText, encode_texts
from finetune.tasks.task import Encoded, Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Batches", "moved"]


class Batches:
    """Rows encoded by the bundle's processor, without the inputs that its model does not take."""

    def __init__(self, bundle: Bundle, task: Task, rows: Dataset | Texts):
        self.encoded: Encoded
        if isinstance(rows, Texts):
            length = task.longest_row() or DEFAULT_LENGTH
            most = position_limit(bundle.config, bundle.family) or length
            self.encoded = encode_texts(rows, bundle.processor, max_length=min(length, most))
        else:
            self.encoded = task.encoded(rows, bundle.processor)
        if isinstance(self.encoded, EncodedText):
            place = _of_corpus if isinstance(rows, Texts) else task.place
            check_encoded(self.encoded, bundle, place=place)
        self.names = {*accepted(bundle.model), *NOT_INPUTS}

    def __len__(self) -> int:
        return len(self.encoded)

    @property
    def lengths(self) -> np.ndarray:
        return self.encoded.lengths

    def __call__(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The batch of these rows, on the CPU."""
        batch = self.encoded.batch(indices)
        return {name: value for name, value in batch.items() if name in self.names}

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All rows as they stand."""
        for start in range(0, len(self), batch_size):
            yield self(np.arange(start, min(start + batch_size, len(self))))

    def drawn(self, count: int, batch_size: int, *, seed: int) -> Iterator[Batch]:
        """`count` batches (or as many as the rows fill) of rows drawn by `seed`, of like length in each batch.

        The rows are a fair sample, so that their lengths are those that the data has.
        """
        rows = np.random.default_rng(seed).permutation(len(self))[: count * batch_size]
        order = rows[grouped_order(self.lengths[rows], batch_size=batch_size, seed=seed)]
        for start in range(0, len(order), batch_size):
            yield self(order[start : start + batch_size])


def _of_corpus(row: int) -> str:
    return f"text {row} of the corpus, from 0"


def moved(batch: Batch, device: torch.device) -> Batch:
    """Batch on another device.

    Args:
        batch: name -> tensor.
        device: where it is put.
    """
    return {name: value.to(device) for name, value in batch.items()}
