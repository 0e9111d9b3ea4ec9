"""Data loader of a training: batches as a sampler draws them, encoded on demand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from compress.core.model.evaluation import Batch
from finetune.batching.batches import Batches
from finetune.batching.sampler import Chosen, LengthGrouped

__all__ = ["WEIGHT", "Collated", "Loader", "Rows"]

WEIGHT = "weight"
"""The entry of a batch that multiplies its mean loss; no input of a model."""


class Rows(Dataset[Chosen]):
    """Dataset of `count` rows whose items are the sampler's own, to be encoded by the collator."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, chosen: Chosen) -> Chosen:
        return chosen


class Collated:
    """Collator: the drawn rows as one batch, with its weight."""

    def __init__(self, batches: Batches):
        self.batches = batches

    def __call__(self, chosen: Sequence[Chosen]) -> Batch:
        weight = torch.tensor(chosen[0].weight, dtype=torch.float64)
        return {**self.batches([row for row, _ in chosen]), WEIGHT: weight}


class Loader(DataLoader[Chosen]):
    """A DataLoader that passes the epoch on to its sampler, as transformers' Trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.batch_sampler, LengthGrouped):
            self.batch_sampler.set_epoch(epoch)
