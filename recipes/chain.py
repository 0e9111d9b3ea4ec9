"""The identity of a stage: what it is, what came before it, on which data, with which seed and versions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from recipes.store import identity

if TYPE_CHECKING:
    from compress.core.stage import Stage
    from recipes.recipe import Recipe

__all__ = ["source_identity", "stage_identity", "stage_settings"]


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import torch

    return {"trimformer": version("trimformer"), "torch": torch.__version__}


def stage_settings(stage: Stage) -> Any:
    """The stage's recipe form without what only names it in a recipe."""
    return stage.model_copy(update={"id": None, "start": None}).recipe_form()


def source_identity(recipe: Recipe, *, fingerprint: str, seed: int | None) -> str:
    """Of the model as given, with its head; `seed` is the fresh head's, None where the head is trained."""
    task = recipe.task
    return identity(
        model=fingerprint, head=task.head, labels=list(task.label_names), regression=task.regression,
        seed=seed, versions=_versions(),
    )  # fmt: skip


def stage_identity(
    stage: Stage,
    *,
    parent: str,
    named: Mapping[str, str],
    recipe: Recipe,
    data: Mapping[str, str],
    seed: int,
    random: bool,
    device: str,
) -> str:
    """Of one stage and seed.

    Args:
        parent, named: identities of the stage it works on and of those it names.
        data: part -> fingerprint; the evaluation part is left out, for no stage sees it.
        random: whether the seed makes a difference.
    """
    parts = {part: mark for part, mark in sorted(data.items()) if part != "evaluation"} if stage.needs_data else {}
    task = recipe.task.recipe_form() if stage.needs_data else None
    return identity(
        stage=stage_settings(stage), parent=parent, named=dict(named), data=parts, task=task,
        seed=seed if random else None, device=device, versions=_versions(),
    )  # fmt: skip
