"""The order of the rows: a function of seed and epoch and of nothing else, so that a resumed run repeats it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

__all__ = ["LengthGrouped", "grouped_order"]

GROUP = 50
"""Batches that are sorted by length together: large enough to pad little, small enough to mix the rows."""


def grouped_order(lengths: np.ndarray, *, batch_size: int, seed: int, epoch: int = 0) -> np.ndarray:
    """A permutation of the rows whose batches hold rows of like length, in random order; a short batch stands last.

    Args:
        lengths: of each row, in tokens.
        batch_size: rows in a batch.
        seed, epoch: the same two give the same order.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    groups = np.array_split(order, np.arange(GROUP * batch_size, len(order), GROUP * batch_size))
    order = np.concatenate([group[np.argsort(-lengths[group], kind="stable")] for group in groups])
    full = len(order) // batch_size * batch_size
    batches = order[:full].reshape(-1, batch_size)
    return np.concatenate([batches[random.permutation(len(batches))].ravel(), order[full:]])


class LengthGrouped(Sampler[int]):
    """`grouped_order` of the epoch that was set last."""

    def __init__(self, lengths: np.ndarray, *, batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = grouped_order(self.lengths, batch_size=self.batch_size, seed=self.seed, epoch=self.epoch)
        return iter(order.tolist())
