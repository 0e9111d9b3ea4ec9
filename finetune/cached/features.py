"""What the frozen part of a model says of each row, computed once, and the trained part run again on it."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, evaluating, model_inputs
from compress.core.stage.context import Context
from finetune.cached.head_reader import HeadReader
from finetune.cached.mix_reader import MixReader
from finetune.cached.reader import Reader
from finetune.inserted.mix.insert import mix_of
from finetune.training.flops import grid

__all__ = ["BATCH_SIZE", "CachedFeatures"]

BATCH_SIZE = 64


class CachedFeatures:
    """An objective: the task's loss on what the head makes of cached features. No block of the model runs.

    The features of a row are the vector that the head reads, or in a model with a learned mix of layers what each layer
    says at that one place. Mix and head are run by the model's own forward pass, so dropout, a last norm, a pooler and
    activations are the model's.

    Args:
        bundle: the model; what is not in `names` must stay as it is while this objective is in use.
        names: the parameters of the head, and of the mix.
        ctx: gives the rows of *train*, and the task.

    Raises:
        StageFailed: the head reads more of a row than one place.
    """

    def __init__(self, bundle: Bundle, names: frozenset[str], ctx: Context):
        if ctx.task is None:
            raise InputError("training a head needs a task", advice="name a task in the recipe")
        started = time.perf_counter()
        self.task = ctx.task
        self.reader: Reader = (HeadReader if mix_of(bundle.model) is None else MixReader)(bundle, names)
        self.tokens = self.squared = 0
        self.ids, self.features = self._gathered(bundle, ctx)
        self.seconds = time.perf_counter() - started

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        return self.features.numel() * self.features.element_size()

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        rows = torch.searchsorted(self.ids, batch["row_id"].to(self.ids.device))
        return self.task.loss(self.reader.answer(model, self.features[rows]), batch)

    def training_flops(self, forward: tuple[float, float], *, tokens: int, squared: int, trained_share: float) -> float:
        """One forward pass over the rows, and what is trained forward and backward for each row that was read."""
        per_token, per_pair = forward
        passes = tokens / max(1, self.tokens)
        mixed = self.features[0].numel() if self.features.dim() == 3 else 0  # a mix multiplies every layer
        each = 6.0 * (self.reader.parameters + mixed)
        return per_token * self.tokens + per_pair * self.squared + each * len(self) * passes

    def _gathered(self, bundle: Bundle, ctx: Context) -> tuple[Tensor, Tensor]:
        """Row ids in ascending order, and their features."""
        ids: list[Tensor] = []
        parts: list[Tensor] = []
        with evaluating(bundle.model), torch.no_grad():
            for batch in ctx.batches(bundle, part="train", count=2**40, batch_size=BATCH_SIZE):
                inputs = model_inputs(batch)
                rows, length = grid(inputs)
                self.tokens += rows * length
                self.squared += rows * length * length
                ids.append(batch["row_id"])
                parts.append(self.reader.read(inputs))
        return _in_order(ids, parts)


def _in_order(ids: list[Tensor], parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """All rows by ascending id. A part is let go of when it was copied, so that the whole is in memory once."""
    whole = torch.cat(ids)
    ranks = torch.empty_like(whole)
    order = whole.argsort()
    ranks[order] = torch.arange(len(whole), device=whole.device)
    result = parts[0].new_empty(len(whole), *parts[0].shape[1:])
    for places in ranks.split([len(part) for part in parts]):
        result[places] = parts.pop(0)
    return whole[order], result
