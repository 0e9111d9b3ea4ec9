"""Out of memory: the fit is started again with half the batch size and the same rows in a step, by accumulation."""

from __future__ import annotations

import gc
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from compress.core.errors import StageFailed
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from finetune.processes import current
from finetune.training.allocator import give_back
from finetune.training.checkpoints import (
    PLAN,
    load_hooks,
    load_weights,
    read_json,
    save_hooks,
    save_weights,
    trained_names,
)

__all__ = ["Start", "begun_with", "is_out_of_memory", "retried", "smaller"]

log = logging.getLogger(__name__)
WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "ALLOC_FAILED")
"""Of CUDA, of PyTorch's CPU allocator, of the C library, of cuBLAS."""


class Start:
    """Initial values of what a fit changes, kept on disk since memory is what is short.

    Args:
        model: what is trained in it has `requires_grad`.
        hooks: the caller's.
        directory: made; `close` deletes it.
    """

    def __init__(self, model: nn.Module, hooks: Sequence[Hook], directory: Path):
        self.model, self.hooks, self.directory = model, hooks, directory
        self.names = trained_names(model)
        if current().count == 1:  # several would have to agree on another plan
            save_weights(model, directory, self.names)
            save_hooks(hooks, directory)

    def restore(self) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.names)
            parameter.grad = None
        load_weights(self.model, self.directory, self.names)
        load_hooks(self.hooks, self.directory)

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left, on a GPU or in the main memory.

    A system that promises more memory than it has ends the process instead, and nothing here can see it.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word.lower() in str(error).lower() for word in WORDS)


def smaller(plan: TrainPlan) -> TrainPlan | None:
    """The plan with half the rows in a batch, or fewer where that does not divide the step; None below one row."""
    size, accumulation = plan.batch_size or 1, plan.accumulation or 1
    step = size * accumulation
    rows = next((rows for rows in range(size // 2, 0, -1) if step % rows == 0), None)
    return None if rows is None else plan.model_copy(update={"batch_size": rows, "accumulation": step // rows})


def retried(run: Callable[[TrainPlan], FitResult], plan: TrainPlan, *, begun: TrainPlan, start: Start) -> FitResult:
    """The result of the first run that has room; where that is not `plan`, its notes say what was used.

    Args:
        run: trains by a plan.
        plan: what was asked for, complete.
        begun: what to try first: `plan`, or the smaller one at which an interrupted fit had arrived.
        start: brings back what a failed run moved.
    """
    used = begun
    while True:
        result, failed = _tried(run, used)
        if result is not None:
            same = used.batch_size == plan.batch_size
            notes = {} if same else {"batch_size_used": used.batch_size, "accumulation_used": used.accumulation}
            return replace(result, notes={**result.notes, **notes})
        next_plan = smaller(used)
        if next_plan is None:
            raise StageFailed(
                "memory ran out with one row in a batch",
                advice="'trimformer check RECIPE --memory 4GB' says what fits; see also gradient_checkpointing",
            ) from failed
        log.warning(
            "memory ran out with batches of %s rows; the training begins again with %s, and %s batches in a step",
            used.batch_size, next_plan.batch_size, next_plan.accumulation,
        )  # fmt: skip
        used, failed = next_plan, None
        _free()
        start.restore()


def begun_with(place: Path, plan: TrainPlan) -> TrainPlan:
    """Plan at which an interrupted fit had arrived, or `plan` itself.

    Args:
        place: directory of the fit.
        plan: that was asked for.
    """
    found = (read_json(place / PLAN) or {}).get("memory", {})
    if found.get("asked") != json.loads(json.dumps(plan.dump(), default=str)):
        return plan
    return plan.model_copy(update={"batch_size": found["batch_size"], "accumulation": found["accumulation"]})


def _tried(run: Callable[[TrainPlan], FitResult], plan: TrainPlan) -> tuple[FitResult | None, Exception | None]:
    """The result, or the error: without its traceback, which would hold on to the memory."""
    try:
        return run(plan), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if current().count > 1:
            raise StageFailed(
                "memory ran out in one of several processes, which then cannot take a smaller batch by themselves",
                advice=f"write a `batch_size:` below {plan.batch_size}, and a larger `accumulation:`",
            ) from error
        return None, error.with_traceback(None)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    give_back()
