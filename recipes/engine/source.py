"""Source of a run, row 0: the model as given, with its own head or a fresh one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from compress.core.errors import InputError
from recipes.file.mistakes import located
from recipes.plan.predict import check_data, check_fit

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from finetune.tasks.task import Splits
    from recipes.file.recipe import Recipe

__all__ = ["given", "load"]


def given(recipe: Recipe) -> tuple[Splits, Bundle]:
    """The recipe's data and its model with the first seed, checked: what a run and a scan begin with.

    Raises:
        InputError: the data or the model cannot be used, with the place in the recipe.
    """
    check_data(recipe)
    source = load(recipe, recipe.seeds[0])
    check_fit(recipe, source)
    return recipe.task.load(recipe.seeds[0]), source


def load(recipe: Recipe, seed: int) -> Bundle:
    """Model of the recipe with a head for its task.

    Args:
        recipe: names the model and the task.
        seed: draws the head where the checkpoint has none that fits.

    Raises:
        InputError: there is no such model, it has no weights that may be opened, or no tokenizer; with the place in
            the recipe.
    """
    from compress.core.checkpoint.for_task import load_source

    try:
        source = load_source(recipe.reference, head=recipe.task.needs_head, seed=seed)
        if source.processor is None:
            raise InputError(
                "the model has no tokenizer beside it, so it cannot read the data",
                given=recipe.reference,
                advice="put the files of its tokenizer beside config.json, as save_pretrained of the tokenizer does",
            )
        return replace(source, notes=(*source.notes, *recipe.task.remarks()))
    except InputError as error:
        located(error, recipe.where("model"))
        raise
