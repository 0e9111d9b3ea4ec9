"""Row 0: the model as given, with its own head or a fresh one, kept like any stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.errors import InputError
from recipes.engine.execute import Done, bundle_facts
from recipes.engine.store import Folder
from recipes.record import Cost

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.stage.context import Context
    from recipes.file.recipe import Recipe

__all__ = ["keep_source", "load"]


def load(recipe: Recipe, seed: int) -> Bundle:
    """The recipe's model with a head for its task; `seed` draws the head where the checkpoint has none that fits.

    Raises:
        InputError: there is no such model, it has no weights that may be opened, or no tokenizer; with the place in
            the recipe.
    """
    from compress.core.checkpoint.for_task import load_source

    task = recipe.task
    try:
        source = load_source(
            recipe.reference, head=task.head, labels=task.label_names, regression=task.regression, seed=seed
        )
        if source.processor is None:
            raise InputError(
                "the model has no tokenizer beside it, so it cannot read the data",
                given=recipe.reference,
                advice="put the files of its tokenizer beside config.json, as save_pretrained of the tokenizer does",
            )
        return source
    except InputError as error:
        error.where = error.where or recipe.where("model")
        raise


def keep_source(
    bundle: Bundle,
    folder: Folder,
    expected: str,
    *,
    seed: int | None,
    context: Callable[[Path], Context],
    facts: Callable[[Bundle, Path], dict[str, Any]],
) -> Done:
    """Save the source in `folder`, as `recipes.engine.execute.carry_out` keeps a stage."""
    partial = folder.begin(expected)
    started = time.perf_counter()
    result = partial / "result"
    about: dict[str, Any] = {
        "id": "source", "stage": "source", "start": None, "seed": seed, "settings": {},
        "identity": expected, "facts": {}, "notes": list(getattr(bundle, "notes", ())),
    }  # fmt: skip
    about |= bundle_facts(bundle, result, context(partial), facts)
    about["cost"] = Cost(seconds=time.perf_counter() - started).model_dump(mode="json")
    folder.finish(result, about)
    return Done(folder, about, reused=False)
