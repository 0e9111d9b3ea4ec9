"""A run that tunes few parameters: deltas on one base, reused, merged, exported."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetune
from compress.core.checkpoint.save import load
from compress.core.errors import InputError
from finetune.batching.predict import predict
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.plan.tree import plan
from tests.recipes.engine.tiny_run import FINETUNE, LATENCY, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tuned")]
SHORT = {"max_steps": 12, "learning_rate": 1e-2}
BITFIT = {"finetune": {"id": "bitfit", "start": "source", "method": "bitfit", "train": SHORT}}
LORA = {"finetune": {"id": "lora", "start": "source", "method": "lora", "base": "nf4", "train": SHORT}}
MERGE = {"merge": {"id": "merged"}}
EXPORT = {"export": {"format": {"onnx": {"precision": "fp32"}}}}


def parsed(root: Path, stages, **settings) -> Recipe:
    return Recipe.parse(recipe_data(root, stages, **settings))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("tuned")
    recipe = parsed(root, [FINETUNE, BITFIT, LORA, MERGE, EXPORT])
    return root, recipe, run(recipe, out=root / "out", device="cpu")


def test_a_tuned_stage_is_a_delta_on_its_base(finished) -> None:
    root, _, report = finished
    assert report.failed == {}
    found = {row.id: row for row in report.rows}
    for name in ("bitfit", "lora"):
        size = found[name].size
        assert 0 < size.delta_bytes < 0.5 * found["source"].size.bytes
        assert size.bytes == found["source"].size.bytes + size.delta_bytes
        assert not (root / "out" / found[name].path / "model.safetensors").exists()
    assert (root / "out" / found["lora"].path / "adapter_config.json").exists()
    assert found["lora"].precision == "nf4" and found["merged"].precision == "fp32"
    assert found["merged"].size.delta_bytes is None and found["finetune"].size.delta_bytes is None


def test_a_delta_of_a_run_opens_on_its_base(finished) -> None:
    root, recipe, report = finished
    found = {row.id: row for row in report.rows}
    base = load(root / "out" / found["source"].path)
    tuned = finetune.load(base, root / "out" / found["bitfit"].path)
    rows = recipe.task.load(0).evaluation
    score = recipe.task.score(predict(tuned, recipe.task, rows), recipe.task.targets(rows))
    assert score == pytest.approx(found["bitfit"].quality.value)


def test_neighbours_are_paired(finished) -> None:
    _, _, report = finished
    names = [pair.better for pair in report.pairs] + [report.pairs[-1].worse]
    assert sorted(names) == ["bitfit", "finetune", "lora"]
    assert all(pair.interval[0] <= pair.difference <= pair.interval[1] for pair in report.pairs)


def test_a_baseline_of_few_bits_is_made_dense_for_the_runtime_of_an_export(tmp_path: Path) -> None:
    report = run(parsed(tmp_path, [LORA, MERGE, EXPORT], measure=[LATENCY]), out=tmp_path / "out", device="cpu")
    assert report.failed == {}
    point = report.rows[-1].speed[0]
    assert point.runtime_ratio is not None


def test_a_baseline_that_nothing_merges_has_no_twin_in_the_runtime(tmp_path: Path) -> None:
    houlsby = {"finetune": {"id": "houlsby", "method": {"houlsby": {"width": 8}}, "train": SHORT}}
    full = {"finetune": {"id": "full", "start": "source", "method": "full", "train": SHORT}}
    stages = [houlsby, full, EXPORT]
    report = run(parsed(tmp_path, stages, measure=[LATENCY]), out=tmp_path / "out", device="cpu")
    assert report.failed == {}
    point = report.rows[-1].speed[0]
    assert point.ratio is not None and point.runtime_ratio is None


def test_a_delta_that_moves_to_another_run_finds_its_base_there(finished) -> None:
    root, _, _ = finished
    again = run(parsed(root, [BITFIT, MERGE], name="again"), out=root / "again", device="cpu")
    assert [(row.id, row.reused) for row in again.rows] == [("source", True), ("bitfit", True), ("merged", False)]
    assert again.failed == {}


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([FINETUNE, EXPORT, {"finetune": {"method": "lora"}}], "stands after the export"),
        ([{"finetune": {"method": "full", "base": "nf4"}}], "full moves every weight"),
        ([LORA, {"prune": {"pattern": "neurons", "sparsity": 0.5}}], "put `merge` before this stage"),
        ([{"finetune": {"method": "pfeiffer"}}, MERGE], "cannot be merged"),
        ([{"finetune": {"method": {"lora": {"rank": 4000}}}}], "rank"),
        ([{"finetune": {"method": {"lora": {"targets": ["queery"]}}}}], "queery"),
        ([BITFIT, {"merge": {"to": "quantized"}}], "take `to: dense`"),
    ],
)
def test_what_cannot_work_is_found_before_any_work(finished, stages, words) -> None:
    root, _, _ = finished
    with pytest.raises(InputError, match=words):
        plan(parsed(root, stages))
