"""`check --memory`: whether each training fits, the largest batch that does, and what to write where none does."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from compress.core.errors import InputError
from recipes.file.recipe import Recipe, memory_option
from recipes.plan.predict import check
from recipes.record import Report
from recipes.report.terminal import show
from tests.recipes.cli.test_app import refused, trimformer
from tests.recipes.front import config_only, recipe_file

pytestmark = pytest.mark.xdist_group("memory")  # what they share is dear, and made once


def train(**more):
    """A plan; a mapping of its own each time, since a recipe has no anchors."""
    return {"epochs": 1, "batch_size": 16, **more}


STAGES = [
    {"finetune": {"id": "full", "train": train()}},
    {"finetune": {"id": "bitfit", "start": "source", "method": "bitfit", "train": train()}},
    {"finetune": {"id": "head", "start": "source", "method": "head"}},
    {"finetune": {"id": "prompt", "start": "source", "method": {"p_tuning": {"length": 3}}, "train": train()}},
    {"finetune": {"id": "rates", "start": "source", "learning_rates": [1.0e-3, 1.0e-4], "train": train()}},
    {"finetune": {"id": "patient", "start": "source", "train": train(patience=1)}},
    {"distill": {"student": {"layers": 2}, "start": "full", "train": train()}},
    {"distill": {"id": "cached", "start": "full", "student": {"layers": 2}, "train": train(epochs=3)}},
    {"export": {"format": {"onnx": {"precision": "fp32"}}}},
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("memory")
    file = recipe_file(folder, STAGES, trained=False)
    config_only(folder / "model")
    return check(Recipe.load(file))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """Of the first and the third stage alone."""
    return recipe_file(tmp_path_factory.mktemp("budget"), [STAGES[0], STAGES[2]], trained=False)


@pytest.fixture(scope="module")
def tight(recipe, plain) -> Report:
    """Checked with less than the first stage needs."""
    peak = facts(plain)["full"]["predicted_memory"]
    return check(Recipe.load(recipe), memory=sum(peak.values()) - peak["activations"] // 3)


def facts(report: Report) -> dict:
    return {row.id: row.facts for row in report.rows}


@pytest.mark.slow
def test_each_training_has_its_parts_and_nothing_else_has_any(plain):
    found = facts(plain)
    assert {id for id, given in found.items() if "predicted_memory" in given} == set(found) - {
        "source",
        "onnx",
        "export",
    }
    for row in plain.rows:
        if row.cost:
            assert (
                row.cost.peak_bytes == row.facts["predicted_peak_bytes"] == sum(row.facts["predicted_memory"].values())
            )


@pytest.mark.slow
def test_what_is_trained_is_what_the_method_trains(plain):
    rows = {row.id: row for row in plain.rows}
    assert rows["full"].cost.trained_parameters == rows["full"].size.parameters
    assert rows["head"].cost.trained_parameters < rows["bitfit"].cost.trained_parameters < 2000
    memory = {id: given.get("predicted_memory") for id, given in facts(plain).items()}
    assert memory["bitfit"]["optimizer"] == 8 * rows["bitfit"].cost.trained_parameters
    assert memory["head"]["activations"] == 4 * 32 * 38, "a vector of each train row"


@pytest.mark.slow
def test_what_is_taken_out_after_the_training_counts_while_it_trains(plain):
    rows = {row.id: row for row in plain.rows}
    table, trained = 3 * 32, rows["prompt"].cost.trained_parameters
    assert rows["prompt"].size.parameters == rows["source"].size.parameters + table
    assert trained > table + rows["head"].cost.trained_parameters
    assert rows["prompt"].facts["predicted_memory"]["optimizer"] == 8 * trained
    assert rows["prompt"].size.delta_bytes < 4 * trained


@pytest.mark.slow
def test_further_models_count(plain):
    memory = {id: given.get("predicted_memory") for id, given in facts(plain).items()}
    assert memory["full"]["copies"] == memory["cached"]["copies"] == 0
    weights = memory["full"]["weights"] + memory["full"]["embeddings"]
    assert memory["rates"]["copies"] == pytest.approx(2 * weights, rel=0.02)
    assert memory["patient"]["copies"] == pytest.approx(weights, rel=0.02)
    assert memory["distill"]["copies"] == pytest.approx(weights, rel=0.02)


@pytest.mark.slow
def test_what_does_not_fit_is_told_what_would(tight):
    found = facts(tight)
    assert found["full"]["fits"] is False and 1 < found["full"]["largest_batch_size"] < 16
    assert found["full"]["advice"].startswith("write train: {batch_size: ")
    size, accumulation = (int("".join(filter(str.isdigit, part))) for part in found["full"]["advice"].split(",")[:2])
    assert size * accumulation == 16 and size <= found["full"]["largest_batch_size"]
    assert found["head"]["fits"] is True and found["head"]["largest_batch_size"] is None


@pytest.mark.slow
def test_the_terminal_shows_parts_and_advice(tight):
    console = Console(width=120, record=True, file=StringIO())
    show(tight, console)
    text = console.export_text()
    for word in ("optimizer", "gradients", "kept for", "temporary", "process", "too much", "fits", "batch_size:"):
        assert word in text
    assert "any" in text, "a cached head takes what it takes at any batch"


@pytest.mark.slow
def test_the_command_gives_it_as_data_and_says_how_much_more_would_fit(recipe):
    result = trimformer("check", recipe, "--memory", "2GB", "--json")
    found = {row["id"]: row["facts"] for row in json.loads(result.stdout)["rows"]}
    assert found["full"]["memory_budget_bytes"] == 2 * 10**9
    assert found["full"]["largest_batch_size"] > 100
    assert all(given["fits"] and "advice" not in given for given in found.values() if "fits" in given)


def test_sizes():
    assert memory_option("4GB") == 4 * 10**9
    assert memory_option("512MiB") == 512 * 2**20
    assert memory_option(" 0.5 gb ") == 5 * 10**8
    assert memory_option("1TB") == 10**12


@pytest.mark.parametrize("text", ["", "lots", "4", "-1GB", "0GB", "1.2.3GB", "4TB!", "GB", "nan GB"])
def test_what_is_no_size_is_one_message(recipe, text):
    with pytest.raises(InputError, match="no size"):
        memory_option(text)
    assert "--memory" in refused("check", recipe, f"--memory={text}")
