"""Every recipe of the book reads, can be planned, and runs from end to end on its tiny twin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.file.recipe import Recipe
from recipes.file.yaml import book
from tests.tiny import tiny_classifier_directory

NAMES = (
    "bert/fewer-parameters", "bert/lottery", "bert/low-rank", "bert/sst2-production", "bert/tiny-on-disk",
    "bert/to-albert", "export/int8", "prune/units", "prune/weights", "quickstart", "tune/compare", "tune/small-gpu",
)  # fmt: skip
QUICK = (
    "measure.0.latency.repeats=2",
    "measure.0.latency.batch_sizes=[1]",
    "measure.0.latency.sequence_lengths=[data]",
)
MADE = (
    "task.text_classification.data={reviews: {train: 120, evaluation: 40}}",
    "task.text_classification.max_length=32",
)
OWN_COLUMNS = (*MADE, "task.text_classification.config=null", "task.text_classification.text=text")
TRAINING = (
    "stages.0.finetune.train.max_steps=2",
    "stages.1.distill.train.max_steps=2",
    "stages.1.distill.student.layers=2",
)
PRUNING = ("stages.2.prune.criterion.taylor.batches=2", "stages.2.prune.recover.max_steps=2")
# A model of random weights answers close to the line, where int8 turns some answers round.
EXPORTS = {
    "bert/fewer-parameters": (),
    "bert/lottery": (),
    "prune/units": (21, 22, 41),
    "prune/weights": (),
    "bert/low-rank": (6,),
    "quickstart": (3, 4),
    "bert/sst2-production": (3, 4),
    "bert/to-albert": (2,),
    "bert/tiny-on-disk": (6, 7),
    "export/int8": (0, 1, 2, 3),
    "tune/compare": (),
    "tune/small-gpu": (2,),
}
NARROW = ((4, "houlsby"), (6, "parallel"), (16, "houlsby"), (19, "houlsby"))
"""Stages of `tune/compare` whose bottleneck would be wider than the tiny model."""
LOTTERY = ((0, "finetune"), (1, "find_ticket"), (3, "finetune"), (4, "compare_subnetworks"))
HEALED = (
    *((index, "factorize") for index in (1, 2, 3)), (4, "share"), (5, "share"), (6, "trim_vocabulary"),
)  # fmt: skip
BY_TAYLOR = (*range(3, 19, 3), 19, 20, *range(25, 41, 3))
FACTORS = ((3, "activations"), (4, "fisher"), (5, "activations"))
SOME: dict[str, tuple[str, ...]] = {
    "prune/units": ("full", "neurons_50", "half"),
    "prune/weights": ("full", "magnitude_50", "sparsegpt_50", "movement_90", "gradual"),
}
"""Where many rows are of one kind: what the ids of those begin with that the twin runs."""
TWINS: dict[str, tuple[str, ...]] = {
    "quickstart": (*MADE, *TRAINING, *PRUNING),
    "bert/sst2-production": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        *TRAINING,
        *PRUNING,
        "budget=null",
    ),
    "bert/lottery": (
        *MADE,
        *(f"stages.{index}.{stage}.train.max_steps=2" for index, stage in LOTTERY),
        "stages.1.find_ticket.rounds=2",
        "stages.4.compare_subnetworks.batches=1",
        "measure=[{latency: {}}]",
    ),
    "bert/fewer-parameters": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "stages.0.finetune.train.max_steps=2",
        *(f"stages.{index}.factorize.rank=6" for index in (1, 2, 7, 8)),
        *(f"stages.{index}.factorize.by={{activations: {{batches: 2}}}}" for index in (3, 10)),
        *(f"stages.{index}.{stage}.recover.max_steps=2" for index, stage in HEALED),
    ),
    "bert/low-rank": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "stages.0.finetune.train.max_steps=2",
        "stages.1.factorize.rank=6",
        *(f"stages.{index}.factorize.recover.max_steps=2" for index in range(1, 6)),
        *(f"stages.{index}.factorize.by={{{by}: {{batches: 2}}}}" for index, by in FACTORS),
    ),
    "bert/to-albert": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "stages.0.finetune.train.max_steps=2",
        *(f"stages.{index}.convert.width=16" for index in (1, 3)),
        *(f"stages.{index}.convert.recover.max_steps=2" for index in (1, 3)),
        "stages.4.share.recover.max_steps=2",
    ),
    "bert/tiny-on-disk": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        *TRAINING,
        *PRUNING,
        "stages.3.trim_vocabulary.recover.max_steps=2",
        "stages.4.factorize.rank=6",
        "stages.4.factorize.recover.max_steps=2",
        "stages.5.trim_positions.length=32",
        "budget=null",
    ),
    "export/int8": OWN_COLUMNS,
    "prune/units": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "stages.0.finetune.train.max_steps=2",
        *(f"stages.{index}.prune.criterion={{taylor: {{batches: 2}}}}" for index in BY_TAYLOR),
        *(f"stages.{index}.prune.recover.max_steps=2" for index in (19, 20, *range(23, 41))),
    ),
    "prune/weights": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "stages.0.finetune.train.max_steps=2",
        *(f"stages.{index}.prune.recover.max_steps=2" for index in range(10, 19)),
        *(f"stages.{index}.finetune.train.max_steps=4" for index in range(19, 23)),
        "measure=[{latency: {}}]",
    ),
    "tune/compare": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        "seeds=[0]",
        *(f"stages.{index}.finetune.train.max_steps=2" for index in range(20)),
        *(f"stages.{index}.finetune.method={{{method}: {{width: 8}}}}" for index, method in NARROW),
    ),
    "tune/small-gpu": (
        *OWN_COLUMNS,
        "task.text_classification.evaluation=test",
        *(f"stages.{index}.finetune.train.max_steps=2" for index in (0, 3)),
    ),
}


def twin(name: str, model: Path) -> Recipe:
    """The recipe on a tiny model and a few made rows."""
    lenient = tuple(f"stages.{index}.export.agreement=0.5" for index in EXPORTS[name])
    recipe = Recipe.load(name, [f"model={model}", *TWINS[name], *lenient, *QUICK])
    some = [stage for stage in recipe.stages if (stage.id or stage.name).startswith(SOME.get(name, ""))]
    return recipe.model_copy(update={"stages": type(recipe.stages)(some)})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_classifier_directory(tmp_path_factory.mktemp("model"), "bert")


def test_the_book_holds_these():
    assert tuple(book()) == NAMES


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
        sketch = bundle.sketch()
        assert stage.refuses(sketch) is None, stage.name
        if stage.leaf:
            predicted.append(stage.predicted_bytes(sketch))
        else:
            words = stage.name == "trim_vocabulary"
            bundle = stage.apply(bundle, KeepWordCount(count=13_486, of=30_522) if words else stage.guess(sketch))
    assert len(predicted) == 2 and min(predicted) > 5_000_000 and max(predicted) < 6_000_000


def test_the_quickstart_measures_a_branch_that_shares_its_trunk(model):
    from recipes.plan.tree import plan, source_on_meta

    recipe = twin("quickstart", model)
    starts = {node.id: node.start for node in plan(recipe, source_on_meta(recipe)).nodes}
    assert starts["fewer_heads"] == "distill"
    assert starts["openvino"] == starts["onnx"] == "prune"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_workers")
@pytest.mark.parametrize("name", NAMES)
def test_its_tiny_twin_runs_from_end_to_end(name, model, tmp_path):
    from recipes.engine.run import run

    recipe = twin(name, model)
    report = run(recipe, out=tmp_path / "run", device="cpu")
    assert not report.failed
    ids = [stage.id or stage.name for stage in recipe.stages]
    assert [row.id for row in report.rows] == ["source", *ids]
    for row in report.rows:
        assert row.size.bytes > 0 and row.quality is not None and row.speed, row.id
    for file in ("recipe.yaml", "report.json", "report.md", "report.html"):
        assert (tmp_path / "run" / file).stat().st_size > 0
