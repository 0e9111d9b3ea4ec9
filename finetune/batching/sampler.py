"""Sampling order of the rows: a function of seed and epoch alone, so that a resumed run repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from finetune.processes import ALONE, Processes

__all__ = ["Chosen", "LengthGrouped", "grouped_order"]

GROUP = 50
"""Batches that are sorted by length together: large enough to pad little, small enough to mix the rows."""


class Chosen(NamedTuple):
    """A row of a batch, and the weight of this process's mean loss in that of all."""

    row: int
    weight: float


def grouped_order(lengths: np.ndarray, *, batch_size: int, seed: int, epoch: int = 0) -> np.ndarray:
    """Permutation of the rows, grouped by length: batches of like length in random order; a short batch stands last.

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


class LengthGrouped(Sampler[list[Chosen]]):
    """The batches of `grouped_order` in the epoch that was set last: of each, the rows that this process takes.

    The processes of a launcher divide the rows of each batch, so that a step has the same rows however many share it,
    and an epoch every row once. A process whose part is a larger or smaller share of the batch than another's
    multiplies its mean loss by `weight`, so that the mean over the processes is the mean over the batch. Where a batch
    has fewer rows than there are processes, those left over take its first row with weight 0.

    Args:
        lengths: of each row, in tokens.
        batch_size: rows in a batch, over all processes.
        seed: of the order, with the epoch.
        processes: who divides the rows.
        drop_last: leave out a short last batch.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        processes: Processes = ALONE,
        drop_last: bool = False,
    ):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.processes, self.drop_last = processes, drop_last

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        rows = len(self.lengths)
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[list[Chosen]]:
        order = grouped_order(self.lengths, batch_size=self.batch_size, seed=self.seed, epoch=self.epoch)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self._part(order[start : start + self.batch_size].tolist())

    def _part(self, batch: list[int]) -> list[Chosen]:
        mine = batch[self.processes.rank :: self.processes.count]
        weight = len(mine) * self.processes.count / len(batch)
        return [Chosen(row, weight) for row in mine or batch[:1]]
