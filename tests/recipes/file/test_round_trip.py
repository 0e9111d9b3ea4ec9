"""Whatever stands in a recipe is read back as it was written, in a file and after `--set`."""

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.file.recipe import Recipe
from recipes.file.yaml import parse_value, read_text, yaml_text

few = settings(max_examples=25, deadline=None)
TASK = {"text_classification": {"data": "reviews"}}
PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20)
SHARES = st.floats(0.01, 0.99)


@few
@given(PLAIN, SHARES, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True))
def test_yaml_gives_back_the_recipe(model, sparsity, seeds):
    stages = [{"prune": {"pattern": "heads", "sparsity": sparsity}}]
    recipe = Recipe.parse({"name": "r", "model": model, "task": TASK, "seeds": seeds, "stages": stages})
    assert Recipe.parse(read_text(yaml_text(recipe)).data) == recipe


@few
@given(SHARES | st.integers(0, 10**9) | st.booleans() | st.none())
def test_a_value_after_set_is_the_value(value):
    words = {True: "true", False: "false", None: "null"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    assert parse_value(text) == value


@few
@given(SHARES, st.integers(1, 100))
def test_set_by_id_and_by_index_give_the_same_recipe(sparsity, epochs):
    stages = [{"finetune": {}}, {"prune": {"id": "half", "pattern": "heads", "sparsity": 0.5}}]
    data = {"name": "r", "model": "m", "task": TASK, "stages": stages}
    by_id = Recipe.parse(
        data, overrides=[f"stages.half.sparsity={sparsity!r}", f"stages.finetune.train.epochs={epochs}"]
    )
    options = [f"stages.1.prune.sparsity={sparsity!r}", f"stages.0.finetune.train.epochs={epochs}"]
    assert by_id == Recipe.parse(data, overrides=options)
    assert by_id.stages[1].sparsity == sparsity and by_id.stages[0].train.epochs == epochs
