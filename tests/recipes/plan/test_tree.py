from typing import Any

import pytest
import torch

from compress.core.errors import InputError, MissingPackage, Refusal, UnknownName
from compress.core.model.bundle import Bundle
from recipes.file.mistakes import Mistakes
from recipes.file.recipe import Recipe
from recipes.plan.tree import SOURCE, Plan, plan
from tests.recipes.front import config_only, recipe_file
from tests.tiny import tiny_bundle

NEURONS = {"pattern": "neurons", "sparsity": 0.5}
PLAIN = {**NEURONS, "criterion": "magnitude", "recover": "none"}


def prune(**settings: Any) -> dict[str, Any]:
    """A stage that draws no random numbers."""
    return {"prune": {**PLAIN, **settings}}


def export(**settings: Any) -> dict[str, Any]:
    return {"export": {"format": {"onnx": {"precision": "fp32"}}, **settings}}


def source(family: str = "bert", *, trained: bool = True) -> Bundle:
    bundle = tiny_bundle(family)
    bundle.states = frozenset({"head_trained"}) if trained else frozenset()
    return bundle


def planned(stages: list[Any], *, trained: bool = True, family: str = "bert", **changes: Any) -> Plan:
    task = {"text_classification": {"data": "reviews"}}
    recipe = Recipe.parse({"name": "a", "model": "m", "task": task, "stages": stages, **changes}, "r.yaml")
    return plan(recipe, source(family, trained=trained))


def refused(stages: list[Any], **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        planned(stages, **changes)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_ids_are_the_names_of_the_stages_then_numbered():
    found = planned([prune(), prune(), prune(id="prune-4"), prune(), prune()])
    assert [node.id for node in found.nodes] == ["prune", "prune-2", "prune-4", "prune-3", "prune-5"]


def test_a_stage_works_on_the_one_before_it_and_an_export_changes_nothing():
    found = planned([prune(), export(), export(), prune(), prune(id="branch", start=SOURCE), prune()])
    assert [node.start for node in found.nodes] == [SOURCE, "prune", "prune", "prune", SOURCE, "branch"]
    assert [node.id for node in found.chain("prune-2")] == ["prune", "prune-2"]
    assert found.chain(SOURCE) == ()


def test_folders_are_numbered_and_seeded_only_where_there_are_several():
    stages = [prune(), "finetune"]
    one, several = planned(stages), planned(stages, seeds=[0, 1])
    assert [node.folder(node.seeds[0]) for node in one.nodes] == ["01-prune", "02-finetune"]
    assert [node.seeds for node in several.nodes] == [(None,), (0, 1)]
    assert several.nodes[0].folder(None) == "01-prune"
    assert several.nodes[1].folder(1) == "02-finetune-seed-1"


def test_seeds_repeat_what_draws_random_numbers_and_all_that_stands_on_it():
    stages = [prune(), "finetune", prune(), prune(id="other", start="prune"), export(), export(id="e2", start="prune")]
    found = planned(stages, seeds=[0, 1])
    assert [len(node.seeds) for node in found.nodes] == [1, 2, 2, 1, 1, 1]
    assert found.seed_of("prune", 1) is None
    assert found.seed_of("finetune", 1) == 1
    assert found.seed_of(SOURCE, 1) is None


def test_a_teacher_that_is_seeded_seeds_its_student():
    stages = ["finetune", {"distill": {"start": SOURCE, "teacher": "finetune"}}]
    assert planned(stages, seeds=[0, 1]).nodes[1].seeds == (0, 1)
    assert planned(stages, seeds=[0, 1]).nodes[1].requires.names == {"teacher": "finetune"}


def test_a_fresh_head_is_drawn_by_the_seed_so_everything_is_seeded():
    found = planned([prune()], trained=False, seeds=[0, 1])
    assert found.nodes[0].seeds == (0, 1)
    assert not found.source_head_trained


def test_walking_a_tree_gives_the_shapes_of_every_branch():
    found = planned([prune(), prune(id="heads", pattern="heads"), prune(id="branch", start=SOURCE, sparsity=0.25)])
    neurons = [step.bundle.sketch().neurons[0] for step in found.steps]
    heads = [step.bundle.sketch().heads[0] for step in found.steps]
    assert neurons == [24, 24, 36]
    assert heads == [4, 2, 4]
    assert all(parameter.device.type == "meta" for step in found.steps for parameter in step.bundle.model.parameters())


def test_walking_leaves_the_source_as_it_was():
    bundle = source()
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    task = {"text_classification": {"data": "reviews"}}
    plan(Recipe.parse({"name": "a", "model": "m", "task": task, "stages": [prune()]}), bundle)
    after = bundle.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shared_tensors_stay_shared_without_their_values():
    found = planned([export()], family="gpt2")
    assert found.steps[0].before.parameters == source("gpt2").sketch().parameters


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([prune(), prune(start="prun")], ["stages.1.prune.start", "unknown stage id 'prun'", "did you mean 'prune'?"]),
        ([prune(start="late"), prune(id="late")], ["stages.0.prune.start", "'late' comes later"]),
        ([export(), prune(start="export")], ["stages.1.prune.start", "is an export"]),
        ([prune(id="a"), prune(id="a")], ["stages.1.prune.id", "two stages have the id 'a'"]),
        ([prune(id="source")], ["stages.0.prune.id", "'source' is the model as given"]),
        (["finetune", {"distill": {"teacher": "finetun"}}], ["stages.1.distill.teacher", "did you mean 'finetune'?"]),
    ],
)
def test_a_name_that_names_nothing_is_refused(stages, says):
    message = refused(stages)
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize("stage", ["distill", "export", {"prune": NEURONS}])
def test_a_stage_that_needs_a_trained_head_is_refused_before_there_is_one(stage):
    stage = export() if stage == "export" else stage
    message = refused([stage], trained=False)
    assert "stages.0" in message
    assert "train" in message
    assert planned(["finetune", stage], trained=False).nodes[1].start == "finetune"


def test_a_family_that_a_stage_does_not_support_is_named():
    message = refused([{"distill": {"student": {"layers": 2}}}], family="albert")
    assert "albert" in message
    assert "layers" in message


def test_more_layers_than_there_are_is_refused():
    assert "stages.0.distill" in refused([{"distill": {"student": {"layers": 9}}}])


def test_all_that_cannot_work_is_one_message_and_what_follows_is_not_blamed():
    stages = [
        {"distill": {"student": {"layers": 9}}},
        prune(),
        {"distill": {"start": SOURCE, "student": {"layers": 8}}},
    ]
    with pytest.raises(Mistakes) as caught:
        planned(stages)
    assert len(caught.value.errors) == 2
    assert all(isinstance(error, Refusal) for error in caught.value.errors)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("recipes.plan.tree.installed", lambda package: package != "onnxruntime")
    with pytest.raises(MissingPackage) as caught:
        planned([export()])
    assert "stages.0.export" in str(caught.value)
    assert 'pip install "trimformer[onnx]"' in str(caught.value)


def test_unknown_names_are_found_without_opening_the_model():
    task = {"text_classification": {"data": "reviews"}}
    recipe = Recipe.parse({"name": "a", "model": "./nowhere", "task": task, "stages": [prune(start="x")]})
    with pytest.raises(UnknownName):
        plan(recipe)


def test_a_directory_with_only_a_configuration_is_enough(tmp_path):
    file = recipe_file(tmp_path, [prune()])
    config_only(tmp_path / "model")
    found = plan(Recipe.load(file))
    assert found.source_head_trained
    assert found.steps[0].bundle.sketch().neurons == (24, 24, 24, 24)


def test_a_model_that_is_not_there_names_its_line(tmp_path):
    file = recipe_file(tmp_path, [prune()], model={"package": "no_such_package", "path": "model"})
    with pytest.raises(InputError) as caught:
        plan(Recipe.load(file))
    assert f"{file}:2: model" in str(caught.value)


def test_a_refusal_for_want_of_a_trained_head_says_why_the_checkpoints_own_does_not_count():
    bundle = source(trained=False)
    bundle.head_note = "the checkpoint's head has 3 labels, the task has 2"
    recipe = Recipe.parse(
        {"name": "a", "model": "m", "task": {"text_classification": {"data": "reviews"}}, "stages": [export()]}
    )
    with pytest.raises(Refusal, match=r"not trained for the task.*head has 3 labels, the task has 2"):
        plan(recipe, bundle)
