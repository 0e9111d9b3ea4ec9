import json

import pytest
import torch

from compress.core.checkpoint.save import save
from compress.core.errors import InputError
from compress.core.stage.context import Context
from compress.prune.stage import Prune
from recipes.engine.source import load
from recipes.file.recipe import Recipe
from recipes.measure.size import counts, size
from recipes.plan.flops import forward_flops
from recipes.plan.predict import check, usable_device, weight_bytes
from recipes.plan.tree import plan
from recipes.record import Report
from tests.recipes.front import config_only, recipe_file
from tests.tiny import FAMILIES, few, tiny_bundle
from tests.tiny.stages import predicted

pytestmark = pytest.mark.xdist_group("check")  # what they share is dear, and made once

STAGES = [
    {"finetune": {"train": {"epochs": 1, "batch_size": 8}}},
    {"distill": {"student": {"layers": 2}}},
    {"prune": {"pattern": "neurons", "sparsity": 0.5, "allocation": "global"}},
    {"export": {"format": {"onnx": {"precision": "int8"}}}},
    {"export": {"id": "fp32", "format": {"onnx": {"precision": "fp32"}}}},
    {"prune": {"id": "branch", "start": "distill", "pattern": "heads", "sparsity": 0.5}},
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    """The predictions of a recipe of six stages on an untrained source that has no weights."""
    folder = tmp_path_factory.mktemp("check")
    file = recipe_file(folder, STAGES, trained=False)
    config_only(folder / "model")
    return check(Recipe.load(file))


def test_there_is_a_row_for_each_stage(report):
    assert [row.id for row in report.rows] == ["source", "finetune", "distill", "prune", "export", "fp32", "branch"]
    assert [row.start for row in report.rows[1:]] == ["source", "finetune", "distill", "prune", "prune", "distill"]
    assert [row.id for row in report.rows if row.baseline] == ["finetune"]
    assert report.name == "tiny"
    assert report.task["metric"] == "accuracy"


def test_sizes_and_flops_go_down_with_what_is_cut(report):
    rows = {row.id: row for row in report.rows}
    assert rows["source"].size.parameters > rows["distill"].size.parameters > rows["prune"].size.parameters
    assert rows["finetune"].flops > rows["distill"].flops > rows["prune"].flops
    assert rows["export"].size.bytes < rows["fp32"].size.bytes
    assert rows["export"].precision == "int8"
    assert {rows["export"].runtime, rows["prune"].runtime} == {"onnx", "pytorch"}


def test_memory_is_predicted_where_something_is_trained(report):
    trained = {row.id for row in report.rows if row.facts.get("predicted_peak_bytes")}
    assert trained == {"finetune", "distill", "prune", "branch"}
    rows = {row.id: row for row in report.rows}
    assert rows["finetune"].cost.trained_parameters == rows["finetune"].size.parameters
    assert rows["finetune"].cost.peak_bytes > 4 * rows["finetune"].size.bytes


def test_nothing_is_said_to_be_measured(report):
    assert all(row.quality is None and not row.speed and row.sha256 is None for row in report.rows)


def test_what_only_data_decides_is_said(report):
    rows = {row.id: row for row in report.rows}
    assert any("between" in note for note in rows["prune"].notes)
    assert rows["branch"].notes == []


def test_the_report_is_plain_data(report):
    again = Report.model_validate(json.loads(report.model_dump_json()))
    assert again == report


def test_the_predicted_bytes_are_those_of_the_saved_file(tmp_path):
    bundle = tiny_bundle("bert")
    save(bundle, tmp_path)
    assert weight_bytes(bundle.model) == (tmp_path / "model.safetensors").stat().st_size


def test_the_predicted_bytes_of_a_masked_model_are_those_of_its_compact_file(tmp_path):
    stage = Prune.model_validate({"pattern": "elements", "sparsity": 0.8, "criterion": "magnitude", "recover": "none"})
    bundle = tiny_bundle("bert")
    guessed = predicted(stage, bundle.copy())
    pruned = stage.run(bundle, Context())
    save(pruned, tmp_path)
    file = (tmp_path / "model.safetensors").stat().st_size
    assert weight_bytes(pruned.model, pruned.masks) == file
    assert weight_bytes(guessed.model, guessed.masks) == pytest.approx(file, abs=100)
    assert file < 0.7 * weight_bytes(pruned.model)


ALONE = {"start": "source", "recover": "none"}
CHANGED = [
    {"prune": {**ALONE, "id": "heads", "pattern": "heads", "sparsity": 0.5, "criterion": "magnitude"}},
    {"prune": {**ALONE, "id": "width", "pattern": "width", "sparsity": 0.25, "criterion": "magnitude"}},
    {"prune": {**ALONE, "id": "masked", "pattern": "elements", "sparsity": 0.8, "criterion": "magnitude"}},
    {"share": {**ALONE, "groups": 2}},
    {"factorize": {**ALONE, "what": "linears", "rank": 4}},
    {"convert": {**ALONE, "to": "albert", "width": 8}},
]


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A recipe whose stages each change the source, and its predictions."""
    recipe = Recipe.load(recipe_file(tmp_path_factory.mktemp("changed"), CHANGED))
    return recipe, {row.id: row.size.bytes for row in check(recipe).rows}


@pytest.mark.parametrize("number", range(len(CHANGED)))
def test_the_predicted_bytes_of_a_changed_model_are_those_of_its_directory(changed, number, tmp_path):
    recipe, predicted = changed
    stage = recipe.stages[number]
    bundle = stage.run(load(recipe, 0), Context())
    save(bundle, tmp_path)
    assert (tmp_path / "changed.py").exists() == (stage.name != "convert")
    # The record of a mask that is decided counts what stays of each matrix; that of a guess says the share.
    record = 4000 if stage.id == "masked" else 50
    assert predicted[stage.id or stage.name] == pytest.approx(size(tmp_path, counts(bundle)).bytes, abs=record)


def test_check_and_a_run_find_the_same_mistakes_in_data(tmp_path):
    file = recipe_file(tmp_path, STAGES)
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 1}\n')
    with pytest.raises(InputError) as caught:
        check(Recipe.load(file))
    assert "task.text_classification" in str(caught.value)
    assert "one label" in str(caught.value)


def test_what_cannot_be_measured_here_is_found_before_any_work(tmp_path):
    file = recipe_file(tmp_path, [], measure=["latency", {"latency": {"sequence_lengths": [100_000]}}])
    with pytest.raises(InputError, match="reads at most") as found:
        check(Recipe.load(file))
    assert "measure.1.latency" in str(found.value)


@pytest.mark.parametrize(
    ("train", "says"), [({"arguments": {"optim": "nonsense"}}, "nonsense"), ({"precision": "bf16"}, "computes no bf16")]
)
def test_training_that_cannot_be_is_found_before_any_work(tmp_path, monkeypatch, train, says):
    from finetune.training import arguments as plan_arguments

    monkeypatch.setattr(plan_arguments, "bf16_supported", lambda device: False)
    file = recipe_file(tmp_path, [{"finetune": {"train": {"epochs": 1}}}, {"finetune": {"train": train}}])
    with pytest.raises(InputError, match=says) as found:
        check(Recipe.load(file))
    assert "stages.1.finetune" in str(found.value)


@pytest.mark.parametrize("method", ["prompt", "p_tuning"])
def test_a_prompt_that_has_no_room_is_found_before_any_work(tmp_path, method):
    stages = [{"finetune": {"method": {method: {"length": 60}}}}]
    with pytest.raises(InputError, match="need more positions than the model has"):
        check(Recipe.load(recipe_file(tmp_path, stages=stages)))


def test_a_gpu_that_is_not_there_is_one_message(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no GPU"):
        usable_device("cuda")
    assert usable_device("auto").type == usable_device("cpu").type == "cpu"


def test_pickled_weights_are_refused_without_opening_them(tmp_path):
    file = recipe_file(tmp_path, [])
    config_only(tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(InputError, match="pickled"):
        check(Recipe.load(file))


def test_predicted_sizes_are_those_of_real_weights(tmp_path):
    recipe = Recipe.load(recipe_file(tmp_path, STAGES, trained=False))
    from compress.core.checkpoint.for_task import load_source

    task = recipe.task
    real = load_source(recipe.reference, head=task.needs_head, seed=0)
    sizes = [step.bundle.sketch().parameters for step in plan(recipe, real).steps]
    assert sizes == [step.bundle.sketch().parameters for step in plan(recipe).steps]


def test_flops_are_those_of_the_matrix_products():
    model = tiny_bundle("bert").model.to("meta")
    hidden, neurons, layers, length = 32, 48, 4, 16
    per_layer = 2 * length * (4 * hidden * hidden + 2 * hidden * neurons) + 4 * length * length * hidden
    head = 2 * (hidden * hidden + 2 * hidden)  # pooler and classifier see one token
    assert forward_flops(model, length=length) == layers * per_layer + head


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_counted_or_said_not_to_be(family):
    flops = forward_flops(tiny_bundle(family).model.to("meta"), length=8)
    assert flops is None or flops > 0


@pytest.mark.parametrize("family", few())
def test_real_weights_have_the_flops_that_were_predicted(family):
    model = tiny_bundle(family).model
    real = forward_flops(model, length=8)
    assert real
    assert forward_flops(model.to("meta"), length=8) in (real, None)
