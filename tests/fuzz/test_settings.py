"""Settings and `--set`: paths and values that a command line may bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.core.families.bert import BERT
from compress.core.fit.plan import DEFAULT_PLAN
from finetune.training.arguments import training_arguments
from recipes.file.recipe import Recipe
from tests.finetune.fits import CPU
from tests.fuzz.mutations import ODD_TEXTS
from tests.fuzz.outcome import assert_survives, inputs
from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, HEADS, PRUNE, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz_settings")]
WORDS = (
    "name", "model", "task", "text_classification", "data", "text", "label", "max_length", "seeds", "stages",
    "0", "1", "2", "-1", "99", "finetune", "distill", "prune", "fewer_heads", "train", "epochs", "batch_size",
    "arguments", "adam_beta2", "student", "layers", "losses", "recover", "criterion", "taylor", "pattern",
    "sparsity", "measure", "latency", "budget", "size", "method", "lora", "rank", "start", "id", "", " ", "a.b",
)  # fmt: skip
PATHS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), min_size=1, max_size=7).map(".".join)
VALUES = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(
        ["1", "0.5", "[1, 2]", "{lora: {rank: 2}}", "full", "none", "[soft_targets]", "10", "'1'", "[]", "{}"]
    ),
    st.integers().map(str),
    st.text(max_size=8),
)
TRAINING = (
    "adam_beta1", "adam_epsilon", "optim", "optim_args", "dataloader_num_workers", "lr_scheduler_kwargs", "label_names",
    "neftune_noise_alpha", "torch_compile", "eval_delay", "logging_steps", "include_for_metrics", "accelerator_config",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict:
    return recipe_data(tmp_path_factory.mktemp("fuzz_settings"), [FINETUNE, DISTILL, PRUNE, HEADS])


@inputs(400)
@given(options=st.lists(st.tuples(PATHS, st.sampled_from(["=", "=", "=", "==", ""]), VALUES).map("".join), max_size=3))
def test_options(plain, options):
    assert_survives(lambda: Recipe.parse(plain, overrides=options))


@inputs(200)
@given(name=st.sampled_from(TRAINING), value=VALUES)
def test_training_arguments(plain, name, value):
    if name == "dataloader_num_workers" and value.strip().isdigit():
        value = str(int(value) % 3)  # each is a process
    option = f"stages.finetune.train.arguments.{name}={value}"
    recipe = assert_survives(lambda: Recipe.parse(plain, overrides=[option]))
    if recipe is not None:
        plan = recipe.stages[0].train.over(DEFAULT_PLAN)
        assert_survives(lambda: training_arguments(plan, BERT, rows=1, seed=0, device=CPU, output=Path("unused")))
