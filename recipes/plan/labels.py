"""Order of a task's classes: that of the checkpoint's own head, where the recipe does not list them."""

from __future__ import annotations

from pathlib import Path

from compress.core.errors import InputError
from recipes.file.recipe import Recipe

__all__ = ["settled"]


def settled(recipe: Recipe, *, directory: Path | None = None) -> Recipe:
    """The recipe with its task's classes in the order of the model's head, so that what is exported keeps that order.

    The same recipe where it lists its labels, the names cannot be matched, or the order is the same.

    Args:
        recipe: names the model and the task.
        directory: of another model, whose order counts instead.

    Raises:
        InputError: the labels of the data cannot be read, with the place in the recipe.
    """
    from compress.core.checkpoint.labels import checkpoint_labels

    names = checkpoint_labels(recipe.reference if directory is None else directory)
    if names is None:
        return recipe
    try:
        task = recipe.task.ordered_as(names)
    except InputError as error:
        place = recipe.where("task", recipe.task.name)
        error.where = f"{place}: {error.where}" if error.where else place
        raise
    return recipe if task is recipe.task else recipe.model_copy(update={"task": task})
