"""Stages are named by their ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.core.errors import InputError
from recipes.file.recipe import Recipe
from recipes.file.stage_ids import SOURCE, by_index, stage_ids

RECIPE = {"stages": ["prune", {"prune": {"id": "v1.half"}}, {"prune": {}}, {"distill": {"id": "7"}}]}
NAMES = st.sampled_from(["prune", "distill", "prune-2", "source"])


@given(st.lists(st.tuples(NAMES, st.none() | NAMES)))
def test_every_stage_has_an_id_and_only_given_ids_are_twice(named):
    ids = stage_ids(named)
    free = [id for id, (_, given_id) in zip(ids, named) if given_id is None]
    assert [id for id, (_, given_id) in zip(ids, named) if given_id] == [given_id for _, given_id in named if given_id]
    assert len(set(free)) == len(free) and SOURCE not in free
    assert not set(free) & {given_id for _, given_id in named}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("stages.prune.sparsity", "stages.0.prune.sparsity"),
        ("stages.prune.prune.sparsity", "stages.0.prune.sparsity"),
        ("stages.v1.half.sparsity", "stages.1.prune.sparsity"),
        ("stages.prune-2", "stages.2"),
        ("stages.2.prune.sparsity", "stages.2.prune.sparsity"),
        ("stages.7.train.epochs", "stages.3.distill.train.epochs"),
        ("stages.9.distill", "stages.9.distill"),
        ("stages", "stages"),
        ("seeds.0", "seeds.0"),
    ],
)
def test_an_id_stands_for_index_and_name(path, found):
    assert ".".join(by_index(RECIPE, path.split("."))) == found


def test_an_id_that_is_there_twice_is_named():
    twice = {"stages": [{"prune": {"id": "half"}}, {"distill": {"id": "half"}}]}
    with pytest.raises(InputError, match="two stages have the id 'half'"):
        by_index(twice, ["stages", "half", "sparsity"])


def test_later_options_see_what_earlier_ones_did():
    stages = [{"prune": {"pattern": "heads", "sparsity": 0.5}}]
    options = ["stages.prune.id=half", "stages.half.sparsity=0.25"]
    task = {"text_classification": {"data": "reviews"}}
    recipe = Recipe.parse({"name": "r", "model": "m", "task": task, "stages": stages}, overrides=options)
    assert recipe.stages[0].id == "half" and recipe.stages[0].sparsity == 0.25
