"""Model directories with one or two damaged files: opened for a task, as a recipe opens them, and asked once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.batching.fitting import check_rows
from finetune.batching.predict import predict
from finetune.tasks.task import Splits
from recipes.engine.source import load
from recipes.file.recipe import Recipe
from tests.fuzz.mutations import damage_file
from tests.fuzz.outcome import assert_survives, inputs
from tests.recipes.engine.tiny_run import encoder_directory, recipe_data, write_data
from tests.tiny import tiny_classifier_directory

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz_models")]
MODELS = ("bert", "distilbert", "gpt2", "t5")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fuzz_models")
    for model_type in MODELS:
        tiny_classifier_directory(root / model_type, model_type)
    encoder_directory(root / "encoder")
    write_data(root / "data", rows=60)
    return root


@pytest.fixture(scope="module")
def splits(place) -> Splits:
    return Recipe.parse(recipe_data(place, [])).task.load(0)


def copied(source: Path, target: Path, damages: list[tuple[str, bytes | None]]) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    for name, content in damages:
        (target / name).unlink(missing_ok=True)
        if content is not None:
            (target / name).write_bytes(content)
    return target


@inputs(500)
@given(data=st.data())
def test_model_directories(place, splits, data):
    source = place / data.draw(st.sampled_from(MODELS))
    damages = data.draw(st.lists(damage_file(source), min_size=1, max_size=2))
    directory = copied(source, place / "damaged", damages)
    recipe = Recipe.parse({**recipe_data(place, []), "model": str(directory)})
    assert_survives(lambda: asked(recipe, splits))


def asked(recipe: Recipe, splits: Splits) -> None:
    """Open the model, check that it can read the rows, and have it answer some."""
    bundle = load(recipe, 0)
    check_rows(bundle, recipe.task, splits)
    predict(bundle, recipe.task, splits.select)
