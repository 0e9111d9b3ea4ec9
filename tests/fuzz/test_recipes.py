"""Recipes' texts: damaged recipes of the book as text and as data, and a small one that is checked where it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.file.recipe import Recipe
from recipes.file.yaml import book, read
from recipes.plan.predict import check
from tests.fuzz.mutations import damaged_bytes, damaged_data
from tests.fuzz.outcome import assert_survives, inputs
from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, HEADS, LATENCY, PRUNE, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz_recipes")]
BOOK = sorted(book().values())


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz_recipes")


@inputs(350)
@given(data=st.data(), ending=st.sampled_from(["yaml", "yaml", "json"]))
def test_texts(place, data, ending):
    text = data.draw(st.sampled_from(BOOK)).read_bytes()
    file = place / f"recipe.{ending}"
    file.write_bytes(data.draw(damaged_bytes(text)))
    assert_survives(lambda: Recipe.load(file))


@inputs(350)
@given(data=st.data())
def test_data(place, data):
    plain = read(data.draw(st.sampled_from(BOOK))).data
    file = place / "recipe.json"
    file.write_text(json.dumps(data.draw(damaged_data(plain))))
    assert_survives(lambda: Recipe.load(file))


@inputs(200)
@given(data=st.data())
def test_what_reads_is_checked(place, data):
    plain = recipe_data(
        place, [FINETUNE, DISTILL, PRUNE, HEADS, {"export": {"format": "onnx"}}], measure=[LATENCY],
        budget={"size": "1MB", "speedup": 2.0},
    )  # fmt: skip
    damaged = data.draw(damaged_data(plain))
    recipe = assert_survives(lambda: Recipe.parse(damaged))
    if recipe is not None:
        assert_survives(lambda: check(recipe))
