"""What the studies of the lottery have in common: what they refuse, where they work, what they say of themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from compress.core.errors import InputError
from compress.core.families.family import Part
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.training.plan import TrainPlan
from compress.core.values import Seed
from compress.lottery.bench import Bench
from compress.lottery.findings import Judge
from compress.lottery.rewind import Rewind
from compress.prune.forbidden import forbidden as forbidden_to_prune

__all__ = ["Seeds", "about", "check_steps", "forbidden", "judge_of", "no_units", "place_of"]

PARTS: tuple[Part, ...] = ("heads", "neurons")


def _unlike(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is given twice")
    return seeds


Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_unlike)]


def forbidden(sketch: Sketch) -> frozenset[State]:
    """States of a model in which no ticket can be looked for."""
    return forbidden_to_prune(sketch) | {"masked"}


def no_units(sketch: Sketch, stage: str) -> str | None:
    """Why whole heads and feed-forward networks cannot be looked at, or None."""
    try:
        for part in PARTS:
            sketch.family.require(part, stage=stage)
    except InputError as error:
        return str(error)
    return None


def check_steps(rewind: Rewind, plan: TrainPlan, task: object) -> None:
    """Raise `InputError` where the training is too short for the rewinding."""
    rows = getattr(task, "train_rows", None)
    why = rewind.check_steps(plan.steps(rows=rows())) if callable(rows) else None
    if why:
        raise InputError(why, given=rewind.recipe_form(), advice="choose an earlier step, or train for longer")


@contextmanager
def place_of(ctx: Context) -> Iterator[Path]:
    """A directory for what is needed until the stage is done; it outlives an interruption where the context's does."""
    if ctx.scratch is not None:
        yield ctx.scratch
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)


def judge_of(bench: Bench, full: Sequence[str]) -> Judge:
    """By the task's metric on *select*, beside the answers that are kept under the names `full`.

    Raises:
        InputError: there is no task.
    """
    task = bench.ctx.task
    if task is None:
        raise InputError("tickets are judged on a task, and none was given", advice="name a task in the recipe")
    answers = [bench.answers(name) for name in full]
    return Judge(task.score, bench.labels(), answers, is_share=task.metric == "accuracy")


def about(bench: Bench, judge: Judge, seeds: Sequence[int]) -> dict[str, Any]:
    """What every study says of itself."""
    return {
        "metric": bench.ctx.task.metric if bench.ctx.task else "",
        "examples": len(judge.labels),
        "seeds": list(seeds),
        "full": judge.full_scores(),
        "parameters": bench.bundle.sketch().parameters,
    }
