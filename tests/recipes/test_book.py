"""Every recipe of the book reads, can be planned, and runs from end to end on its tiny twin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.file.recipe import Recipe
from recipes.file.stage_ids import stage_ids
from recipes.file.yaml import book
from tests.tiny import tiny_classifier_directory, tiny_settings
from tests.tiny.stages import declared

NAMES = tuple(book())
TWIN = (
    "task={text_classification: {data: {reviews: {train: 120, evaluation: 40}}, evaluation: test, max_length: 32}}",
    "seeds=[0]",
    "budget=null",
    "measure=[{latency: {repeats: 2, batch_sizes: [1], sequence_lengths: [data]}}]",
)
SOME: dict[str, tuple[str, ...]] = {
    "prune/units": ("full", "neurons_50", "half"),
    "prune/weights": ("full", "magnitude_50", "sparsegpt_50", "movement_90", "gradual"),
}
"""Where many rows are of one kind: what the ids of those begin with that the twin runs."""


def twin(name: str, model: Path) -> Recipe:
    """The recipe on a tiny model and a few made rows."""
    recipe = Recipe.load(name, [f"model={model}", *TWIN])
    some = tuple(stage for stage in recipe.stages if (stage.id or stage.name).startswith(SOME.get(name, "")))
    return tiny_settings(recipe.model_copy(update={"stages": some}))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_classifier_directory(tmp_path_factory.mktemp("model"), "bert")


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_and_writes_back_to_the_same_value(name):
    recipe = Recipe.load(name)
    assert Recipe.parse(recipe.dump()) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_it_teaches_in_comments_and_names_its_own_command(name):
    text = book()[name].read_text("utf-8")
    assert f"trimformer run {name}" in text
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert len(comments) >= 5
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_its_stages_can_follow_one_another(name, model):
    from recipes.plan.tree import plan, source_on_meta

    recipe = twin(name, model)
    planned = plan(recipe, source_on_meta(recipe))
    assert len(planned.nodes) == len(recipe.stages)


def test_the_smallest_encoder_stays_below_its_budget():
    """On the shape of MiniLM; that 13,486 words stay was measured, and the recipe says so."""
    from transformers import BertConfig, BertForSequenceClassification

    from compress.core.model.bundle import Bundle
    from compress.vocabulary.change import KeepWordCount

    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    with torch.device("meta"):
        bundle = Bundle(BertForSequenceClassification(config), None, states=frozenset({"head_trained"}))
    predicted = []
    for stage in Recipe.load("bert/tiny-on-disk").stages:
        said = declared(stage, bundle.sketch())
        assert said.why_not(bundle.sketch(), stage=stage.name) is None, stage.name
        if stage.requires().leaf:
            predicted.append(said.bytes)
        else:
            words = KeepWordCount(count=13_486, of=30_522)
            bundle = bundle.changed_by(words if stage.name == "trim_vocabulary" else said.change)
    assert len(predicted) == 2 and min(predicted) > 5_000_000 and max(predicted) < 6_000_000


def test_the_quickstart_measures_a_branch_that_shares_its_trunk(model):
    from recipes.plan.tree import plan, source_on_meta

    recipe = twin("quickstart", model)
    starts = {node.id: node.start for node in plan(recipe, source_on_meta(recipe)).nodes}
    assert starts["fewer_heads"] == "distill"
    assert starts["openvino"] == starts["onnx"] == "prune"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_tiny_twin_runs_from_end_to_end(name, model, tmp_path):
    from recipes.engine.run import run

    recipe = twin(name, model)
    report = run(recipe, out=tmp_path / "run", device="cpu")
    assert not report.failed
    ids = stage_ids((stage.name, stage.id) for stage in recipe.stages)
    assert [row.id for row in report.rows] == ["source", *ids]
    for row in report.rows:
        assert row.size.bytes > 0 and row.quality is not None and row.speed, row.id
    for file in ("recipe.yaml", "report.json", "report.md", "report.html"):
        assert (tmp_path / "run" / file).stat().st_size > 0
