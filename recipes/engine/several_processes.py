"""Stages that several processes run together: orders of the main process, and how the others follow.

The main process plans, writes, measures and prints. For each stage that is run it gives the others an `Order`; they
open the same model, and run the same code with the same random numbers, so that all of them reach each fit and each
inference over data, and divide its rows there. Their files lie in copies that are thrown away; checkpoints are the main
process's, and read by all.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compress.core.errors import InputError, TrimformerError
from compress.core.stage.stage import Stage
from finetune.processes import everyone
from finetune.training.checkpoints import PLAN

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.artifact import Artifact
    from compress.core.stage.context import Context
    from finetune.tasks.task import Splits
    from recipes.file.recipe import Recipe
    from recipes.record import Report

__all__ = ["Order", "dismissed", "follow", "run_stage", "same_start"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """A stage to run, as plain data. All directories are absolute, and must be seen by every process.

    Attributes:
        stage: what is run.
        seed: of its Context.
        base: where the model lies that it works on.
        scratch, left: the stage's directories; others than the main process work on copies of them.
        places: stage id -> its directory; `earlier` are those that hold models.
        best: the stage that is `Context.best`, or None.
        random: states of the generators of Python, numpy and torch.
    """

    stage: Stage
    seed: int
    base: Path
    scratch: Path
    left: Path
    places: Mapping[str, Path]
    earlier: tuple[str, ...]
    best: str | None
    random: tuple[Any, Any, torch.Tensor]


def run_stage(stage: Stage, parent: Bundle, ctx: Context, *, base: Path) -> Bundle | Artifact:
    """What `stage.run(parent, ctx)` gives, with the processes that a launcher started beside this one.

    Args:
        base: where `parent` lies.

    Raises:
        Parted: another process failed, and this one did not.
    """
    processes = everyone()
    if processes.count == 1 or stage.requires().leaf:  # an export trains nothing
        return stage.run(parent, ctx)
    processes.told(_order(stage, ctx, base))
    processes.wait()
    with processes.together():
        return stage.run(parent, ctx)


def dismissed(report: Report) -> Report:
    """Tell the other processes that there is no more to do, and what came of it."""
    everyone().told(report)
    return report


def follow(recipe: Recipe, splits: Splits, *, device: torch.device) -> Report:
    """Take part in what the main process runs, until it has the report.

    Args:
        splits: the task's, equal to the main process's.
        device: where models live.
    """
    processes = everyone()
    while True:
        order: Order | Report = processes.told()
        if not isinstance(order, Order):
            return order
        with _copies(order, processes.rank) as own:
            bundle, ctx = _given(order, recipe, splits, device, own)
            processes.wait()
            _put_back(order.random)
            try:
                with processes.together():
                    order.stage.run(bundle, ctx)
            except TrimformerError as error:  # of every process; the main one says so, and goes on
                log.info("%s failed: %s", order.stage.name, error)


def same_start(recipe: Recipe, splits: Splits) -> None:
    """Compare the recipe, data and versions of all processes.

    Args:
        recipe: of this process.
        splits: its data.

    Raises:
        InputError: they read different recipes or data, or have different libraries.
    """
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    own = {"recipe": recipe.dump(), "data": dict(splits.fingerprints), "versions": versions}
    found = everyone().gathered(own)
    for name in own:
        if any(each[name] != found[0][name] for each in found):
            raise InputError(
                f"the processes of the launcher do not have the same {name}",
                advice="give every machine the same recipe, data and packages",
            )


def _order(stage: Stage, ctx: Context, base: Path) -> Order:
    from finetune.training.scopes import randomness_restored

    if ctx.scratch is None or ctx.left is None:
        raise InputError("processes share a stage through its directories, and it was given none")
    with randomness_restored():
        best = ctx.best()
    return Order(
        stage=stage,
        seed=ctx.seed,
        base=base.resolve(),
        scratch=ctx.scratch.resolve(),
        left=ctx.left.resolve(),
        places={id: place.resolve() for id, place in ctx.places.items()},
        earlier=tuple(ctx.earlier),
        best=None if best is None else best[0],
        random=(random.getstate(), np.random.get_state(), torch.get_rng_state()),
    )


@contextmanager
def _copies(order: Order, rank: int) -> Iterator[Path]:
    """A directory with copies of what an interrupted run left for the stage, except of its fits: these are shared."""
    own = order.scratch.with_name(f".process-{rank}")
    shutil.rmtree(own, ignore_errors=True)
    try:
        shutil.copytree(order.scratch, own / "scratch", ignore=_fits)
        shutil.copytree(order.left, own / "left")
    except OSError as error:
        raise InputError(
            "a process of the launcher cannot use the run's directory",
            where=str(order.scratch),
            given=error.strerror or str(error),
            advice="give a directory with --out that all machines share, and where all may write",
        ) from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _fits(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(directory) / name / PLAN).is_file()]


def _given(order: Order, recipe: Recipe, splits: Splits, device: torch.device, own: Path) -> tuple[Bundle, Context]:
    """The model and the Context that the main process runs the stage with."""
    from transformers import set_seed

    from finetune.context import make_context
    from finetune.delta.opening import open_directory

    set_seed(order.seed)
    opened = {id: partial(open_directory, order.places[id], device=device) for id in order.earlier}
    best = order.best
    ctx = make_context(
        recipe.task,
        splits,
        seed=order.seed,
        device=device,
        scratch=order.scratch,
        earlier=opened,
        places=order.places,
        best=lambda: None if best is None else (best, open_directory(order.places[best], device=device)),
    )
    ctx.scratch, ctx.left = own / "scratch", own / "left"
    return open_directory(order.base, device=device), ctx


def _put_back(states: tuple[Any, Any, torch.Tensor]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
