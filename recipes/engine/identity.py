"""Identity of a stage: hash of its settings, its inputs, its data, its seed and the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.engine.store import identity

if TYPE_CHECKING:
    from compress.core.stage.stage import Stage
    from recipes.file.recipe import Recipe

__all__ = ["source_identity", "stage_identity", "stage_settings"]


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import torch

    return {"trimformer": version("trimformer"), "torch": torch.__version__}


def stage_settings(stage: Stage) -> Any:
    """The stage's recipe form without what only names it in a recipe."""
    return stage.model_copy(update={"id": None, "start": None}).recipe_form()


def source_identity(recipe: Recipe, *, fingerprint: str, data: Mapping[str, str], seed: int | None) -> str:
    """Identity of the model as given, with its head.

    Args:
        data: part -> fingerprint; a trained head has a value on select.
        seed: of the fresh head, None where the head is trained.
    """
    task = recipe.task
    valued = {"data": _seen(data), "task": task.recipe_form()} if seed is None else {}
    return identity(
        model=fingerprint, **task.needs_head.identity(), seed=seed, versions=_versions(), **valued,
    )  # fmt: skip


def stage_identity(
    stage: Stage,
    *,
    reads: Sequence[Path],
    parent: str,
    named: Mapping[str, str],
    recipe: Recipe,
    data: Mapping[str, str],
    seed: int,
    random: bool,
    device: str,
) -> str:
    """Identity of one stage and seed.

    Args:
        reads: the files that it names.
        parent, named: identities of the stage it works on and of those it names.
        data: part -> fingerprint.
        random: whether the seed makes a difference.
    """
    files = [sha256(file.read_bytes()).hexdigest() for file in reads]
    return identity(
        stage=stage_settings(stage), parent=parent, named=dict(named), data=_seen(data),
        task=recipe.task.recipe_form(), seed=seed if random else None, device=device, versions=_versions(),
        **({"files": files} if files else {}),
    )  # fmt: skip


def _seen(data: Mapping[str, str]) -> dict[str, str]:
    """Without the evaluation part, which no stage reads. A stage that reads no data has its value on select."""
    return {part: mark for part, mark in sorted(data.items()) if part != "evaluation"}
