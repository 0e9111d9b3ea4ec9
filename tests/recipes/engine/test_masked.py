"""A run that masks weights, cuts the masked model, and lets go of the masks: every reload in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.core.checkpoint.save import load
from compress.core.model.masks import masked_parameters
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.plan.predict import check
from tests.recipes.engine.tiny_run import FINETUNE, PRUNE, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("masked")]
WANDA = {"prune": {"id": "masked", "pattern": "elements", "sparsity": 0.6, "criterion": "wanda", "recover": "none"}}
NEURONS = {"prune": {**PRUNE["prune"], "id": "neurons"}}
PERMANENT = {"make_permanent": {"id": "permanent"}}
EXPORT = {"export": {"format": {"onnx": {"precision": "fp32"}}}}
ALONE = {"criterion": "magnitude", "recover": "none", "start": "masked"}
NARROW = {"prune": {**ALONE, "id": "narrow", "pattern": "width", "sparsity": 0.25}}
SHALLOW = {"prune": {**ALONE, "id": "shallow", "pattern": "layers", "sparsity": 0.5, "criterion": "similarity"}}
EARLY = {"export": {"id": "early", "start": "masked", "format": {"onnx": {"precision": "fp32"}}}}
STAGES = [FINETUNE, WANDA, NEURONS, PERMANENT, EXPORT, NARROW, SHALLOW, EARLY]
MASKED = ("masked", "neurons", "narrow", "shallow")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("masked")
    data = recipe_data(root, STAGES)
    report = run(Recipe.parse(data), out=root / "out", device="cpu")
    return root / "out", data, report, {row.id: row for row in report.rows}


def saved(out: Path, row):
    return load(out / row.path)


def test_every_stage_reloads_to_its_own_answers(finished):
    """The engine compares each reload, and fails the stage where it differs."""
    _, _, report, rows = finished
    assert report.failed == {}
    assert list(rows) == [
        "source", "finetune", "masked", "neurons", "permanent", "export", "narrow", "shallow", "early",
    ]  # fmt: skip


@pytest.mark.parametrize("id", MASKED)
def test_what_is_cut_out_of_a_masked_model_keeps_its_masks(finished, id):
    out, _, _, rows = finished
    bundle = saved(out, rows[id])
    assert "masked" in bundle.states
    found = list(masked_parameters(bundle.model, bundle.masks))
    assert len(found) == (12 if id == "shallow" else 24)
    assert all(not torch.count_nonzero(weight[~bundle.masks[name]]) for name, weight in found)
    assert rows[id].size.nonzero_parameters < rows[id].size.parameters


def test_without_masks_the_zeros_are_weights_in_a_stock_file(finished):
    out, _, _, rows = finished
    assert not saved(out, rows["permanent"]).masks
    assert not (out / rows["permanent"].path / "changed.py").exists()
    assert rows["permanent"].size.bytes > rows["neurons"].size.bytes
    assert rows["permanent"].size.nonzero_parameters == rows["neurons"].size.nonzero_parameters
    assert rows["permanent"].quality.value == rows["neurons"].quality.value


@pytest.mark.parametrize(("export", "of"), [("export", "permanent"), ("early", "masked")])
def test_exports_answer_as_the_model_does(finished, export, of):
    _, _, _, rows = finished
    assert rows[export].quality.value == pytest.approx(rows[of].quality.value, abs=0.02)


def test_a_check_knows_the_sizes_before(finished):
    _, data, _, rows = finished
    for row in check(Recipe.parse(data)).rows:
        if row.id in MASKED:
            assert row.size.parameters == rows[row.id].size.parameters
        if row.id == "masked":
            assert row.size.bytes == pytest.approx(rows[row.id].size.bytes, rel=0.05)
