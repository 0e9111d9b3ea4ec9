"""The vector that a model's head reads of each row, computed once, and the head run again on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, StageFailed
from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, accepted, evaluating, model_inputs
from compress.core.stage.context import Context
from compress.core.stage.task import answering
from finetune.training.flops import grid

__all__ = ["BATCH_SIZE", "TOLERANCE", "CachedHead", "difference", "last_places"]

BATCH_SIZE = 64
TOLERANCE = 1e-3


class CachedHead:
    """An objective: the task's loss on what the head makes of cached vectors. The rest of the model never runs.

    The head is run by the model's own forward pass, with a base model that answers each row with its cached vector: as
    its pooled output, and as a sequence of length one. So dropout and activations between the two are the model's.

    Args:
        bundle: the model; what is not in `names` must stay as it is while this objective is in use.
        names: the head's parameters.
        ctx: gives the rows of *train*, and the task.

    Raises:
        StageFailed: the head reads more of a row than one vector.
    """

    def __init__(self, bundle: Bundle, names: frozenset[str], ctx: Context):
        if ctx.task is None:
            raise InputError("training a head needs a task", advice="name a task in the recipe")
        started = time.perf_counter()
        self.task, self.names = ctx.task, names
        self.reader = HeadReader(bundle.model, names)
        self.tokens = self.squared = 0
        self.ids, self.vectors = self._gathered(bundle, ctx)
        self.seconds = time.perf_counter() - started

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        return self.vectors.numel() * self.vectors.element_size()

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        vectors = self.vectors[torch.searchsorted(self.ids, batch["row_id"].to(self.ids.device))]
        return self.task.loss(self.reader.answer(model, vectors), batch)

    def training_flops(self, forward: tuple[float, float], *, tokens: int, squared: int, trained_share: float) -> float:
        """One forward pass over the rows, and the head forward and backward for each row that was read."""
        per_token, per_pair = forward
        passes = tokens / max(1, self.tokens)
        return per_token * self.tokens + per_pair * self.squared + 6.0 * self.reader.parameters * len(self) * passes

    def _gathered(self, bundle: Bundle, ctx: Context) -> tuple[Tensor, Tensor]:
        """Row ids in ascending order, and their vectors."""
        found: list[tuple[Tensor, Tensor]] = []
        with evaluating(bundle.model), torch.no_grad():
            for batch in ctx.batches(bundle, part="train", count=2**40, batch_size=BATCH_SIZE):
                vectors, outputs = self.reader.read(model_inputs(batch))
                if not found:
                    self._check(bundle.model, vectors, outputs)
                rows, length = grid(model_inputs(batch))
                self.tokens += rows * length
                self.squared += rows * length * length
                found.append((batch["row_id"], vectors))
        ids, vectors = torch.cat([ids for ids, _ in found]), torch.cat([vectors for _, vectors in found])
        order = ids.argsort()
        return ids[order], vectors[order]

    def _check(self, model: nn.Module, vectors: Tensor, outputs: dict[str, Tensor]) -> None:
        apart = difference(self.reader.answer(model, vectors), outputs)
        if apart is not None:
            raise StageFailed(
                f"the head of {type(model).__name__} reads more of a row than one vector",
                given=apart,
                advice="train with another method",
            )


class HeadReader:
    """Takes the vector that the head reads out of a forward pass, and runs the head on such vectors."""

    def __init__(self, model: nn.Module, names: frozenset[str]):
        owners = {name.rpartition(".")[0] for name in names}
        self.model, self.base = model, base_model(model)
        self.linears = [m for path, m in model.named_modules() if path in owners and isinstance(m, nn.Linear)]
        self.parameters = sum(model.get_parameter(name).numel() for name in names)
        self.accepted = accepted(model)
        trained = {id(parameter) for name, parameter in model.named_parameters() if name in names}
        pooler = getattr(self.base, "pooler", None)
        self.pools = pooler is not None and any(id(parameter) in trained for parameter in pooler.parameters())
        self.output: Any = None

    def read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What the head's first linear is given, (rows, width), and the logits by name."""
        seen: list[Tensor] = []
        handles = [linear.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for linear in self.linears]
        handles.append(self.base.register_forward_hook(lambda _, __, output: setattr(self, "output", type(output))))
        try:
            outputs = answering(self.model(**inputs))
        finally:
            for handle in handles:
                handle.remove()
        vectors = seen[0]
        if vectors.dim() == 3:
            vectors = vectors[torch.arange(len(vectors), device=vectors.device), last_places(inputs)]
        return vectors.clone(), outputs

    def answer(self, model: nn.Module, vectors: Tensor) -> dict[str, Tensor]:
        """The logits, by name, that the head makes of `vectors`; `model` is the one of `read`, wrapped or not."""
        config: Any = self.base.config
        end = config.eos_token_id if isinstance(getattr(config, "eos_token_id", None), int) else 0
        ones = torch.ones(len(vectors), 1, dtype=torch.long, device=vectors.device)
        # A model that finds its vector by the end of the text finds it at once.
        inputs = {"input_ids": ones * end, "attention_mask": ones, "pixel_values": vectors}
        with self._answering(vectors):
            return answering(model(**{name: value for name, value in inputs.items() if name in self.accepted}))

    @contextmanager
    def _answering(self, vectors: Tensor) -> Iterator[None]:
        """Inside a `with` the base model answers with `vectors`."""
        before = self.base.__dict__.get("forward")
        self.base.__dict__["forward"] = lambda *_, **__: self._said(vectors)
        try:
            yield
        finally:
            del self.base.__dict__["forward"]
            if before is not None:
                self.base.__dict__["forward"] = before

    def _said(self, vectors: Tensor) -> Any:
        sequence = vectors[:, None]
        said = {"last_hidden_state": sequence}
        if "pooler_output" in self.output.__dataclass_fields__:
            said["pooler_output"] = self._pooled(sequence) if self.pools else vectors
        return self.output(**said)

    def _pooled(self, sequence: Tensor) -> Tensor:
        base: Any = self.base
        if isinstance(base.pooler, nn.Linear):  # ALBERT's, with its activation beside it
            return base.pooler_activation(base.pooler(sequence[:, 0]))
        return base.pooler(sequence)


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float | None:
    """The largest difference of two models' logits; None within `TOLERANCE`, infinite where their shapes differ."""
    if any(one[name].shape != value.shape for name, value in other.items()):
        return float("inf")
    if all(torch.allclose(one[name], value, atol=TOLERANCE, rtol=TOLERANCE) for name, value in other.items()):
        return None
    return max(float((one[name] - value).abs().max()) for name, value in other.items())


def last_places(inputs: dict[str, Tensor]) -> Tensor:
    """The place of each row's last token that is no padding."""
    mask = inputs["attention_mask"]
    return (torch.arange(mask.shape[1], device=mask.device) * mask).argmax(1)
