"""Training and evaluation of many subnetworks of one model, each at most once across interruptions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from compress.core.answers import Answers, Known, outside_torch
from compress.core.errors import InputError
from compress.core.files import written_whole
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import evaluating, model_inputs
from compress.core.model.masks import Masks, apply_masks
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.lottery.search import State

__all__ = ["Bench", "workspace"]

BATCH_SIZE = 64


@dataclass
class Bench:
    """Trains the model of one bundle again and again, and keeps what each training led to.

    Attributes:
        bundle: whose model is trained, in place.
        ctx: trains it, and gives the rows of *select*.
        plan: of every training.
        directory: keeps the answers (and weights that are asked for) by name, until the stage is done.
    """

    bundle: Bundle
    ctx: Context
    plan: TrainPlan
    directory: Path

    def has(self, name: str) -> bool:
        """Whether what `name` stands for was asked already."""
        return self._file(name).is_file()

    def train(self, name: str, masks: Masks, *, seed: int, hooks: Sequence[Hook] = ()) -> None:
        """Train the model from the weights that it has, under `masks`, and keep its answers.

        What an earlier run has trained to the end is put back and not trained again.
        """
        self.put_on(masks)
        self.ctx.fit(self.bundle, self.ctx.task_objective(), self.plan, name=name, hooks=hooks, seed=seed)
        self.ask(name)

    def put_on(self, masks: Masks) -> None:
        """The masks become the bundle's, and what they cut becomes zero; one that cuts nothing is left out."""
        self.bundle.masks = {path: mask.to(self.bundle.device) for path, mask in masks.items() if not mask.all()}
        apply_masks(self.bundle.model, self.bundle.masks)

    def ask(self, name: str) -> None:
        """Keep the model's answers on *select* as `name`."""
        if not self.has(name):
            answers = self.asked()
            counts = {} if answers.counts is None else {"counts": torch.from_numpy(answers.counts)}
            self.keep(name, {"logits": torch.from_numpy(answers.values), **counts})

    def answers(self, name: str) -> Known:
        """What was kept as `name`."""
        kept = {key: tensor.numpy() for key, tensor in self.kept(name).items()}
        return Answers(self.targets.row_ids, kept["logits"], kept.get("counts"))

    @cached_property
    def targets(self) -> Known:
        """The right answers to *select*."""
        return self.ctx.targets("select")

    @property
    def task(self) -> TaskView:
        """By which tickets are judged.

        Raises:
            InputError: there is none.
        """
        if self.ctx.task is None:
            raise InputError("tickets are judged on a task, and none was given", advice="name a task in the recipe")
        return self.ctx.task

    def keep(self, name: str, tensors: State) -> None:
        """Write tensors as `name`, all or nothing."""
        from safetensors.torch import save_file

        own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        with written_whole(self._file(name)) as beside:
            save_file(own, beside)

    def kept(self, name: str) -> State:
        """The tensors that were written as `name`."""
        from safetensors.torch import load_file

        return load_file(self._file(name))

    def forget(self, name: str) -> None:
        """Remove the weights that the training `name` left for an interrupted run; its answers stay."""
        if self.ctx.scratch is not None:
            shutil.rmtree(self.ctx.scratch / name, ignore_errors=True)

    def asked(self) -> Known:
        """What the model answers to *select*, in its order."""
        model, found = self.bundle.model, []
        with evaluating(model), torch.inference_mode():
            for batch in self.ctx.batches(self.bundle, part="select", batch_size=BATCH_SIZE):
                found.append(outside_torch(self.task.answers(model(**model_inputs(batch)), batch)))
        return Answers.joined(found)

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.safetensors"


@contextmanager
def workspace(ctx: Context) -> Iterator[Path]:
    """A directory for what is needed until the stage is done; it outlives an interruption where the context's does."""
    if ctx.scratch is not None:
        yield ctx.scratch
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)
