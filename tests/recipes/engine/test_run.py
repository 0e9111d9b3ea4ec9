"""A run from end to end on a tiny encoder: rows, reuse, seeds, branches, failures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from compress.core.errors import InputError, StageFailed
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.record import Report
from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, HEADS, LATENCY, PRUNE, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("run")]


def parsed(root: Path, stages, **settings) -> Recipe:
    return Recipe.parse(recipe_data(root, stages, **settings))


def rows(report: Report) -> dict:
    return {(row.id, row.seed): row for row in report.rows}


def without_measured_times(report: Report) -> list[dict]:
    kept = report.model_dump(mode="json")["rows"]
    for row in kept:
        for name in ("speed", "cost", "load_seconds", "resident_bytes", "reused"):
            row.pop(name, None)
    return kept


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    recipe = parsed(root, [FINETUNE, DISTILL, PRUNE, HEADS], measure=[LATENCY], budget={"size": "1MB"})
    return root, recipe, run(recipe, out=root / "out", device="cpu")


def test_every_stage_has_a_measured_row(finished):
    root, _, report = finished
    assert report.failed == {}
    assert [row.id for row in report.rows] == ["source", "finetune", "distill", "prune", "fewer_heads"]
    source, tuned, *others = report.rows
    assert source.quality is None and source.size is not None
    assert tuned.baseline and tuned.quality.difference is None and tuned.quality.value > 0.8
    for row in others:
        assert row.quality.difference is not None and row.quality.examples == 60
        assert [point.ratio is not None for point in row.speed] == [True, True]
        assert (root / "out" / row.path / "model.safetensors").exists()
        assert row.size.parameters < tuned.size.parameters


def test_a_branch_stands_on_the_stage_it_names(finished):
    _, _, report = finished
    found = rows(report)
    assert found["fewer_heads", 0].start == "distill"
    assert found["fewer_heads", 0].cut["heads"]["of"] == 4
    assert found["prune", 0].cut["neurons"]["of"] == 48


def test_the_views_and_the_truth_are_there(finished):
    root, _, report = finished
    out = root / "out"
    assert Report.read(out).model_dump() == report.model_dump()
    assert "<html" in (out / "report.html").read_text() and "finetune" in (out / "report.md").read_text()
    assert (out / "log.txt").read_text().count("finetune") >= 1
    assert report.budget[0].verdict == "met"
    assert not list((out / "stages").glob(".*"))


def test_unchanged_work_is_reused_and_changed_work_is_not(finished):
    root, recipe, before = finished
    logits = {row.id: np.load(root / "out" / row.path / "logits.npz")["logits"] for row in before.rows[1:]}
    again = run(recipe, out=root / "out", device="cpu")
    assert all(row.reused for row in again.rows)
    assert without_measured_times(again) == without_measured_times(before)
    data = recipe_data(root, [FINETUNE, DISTILL, {"prune": {**PRUNE["prune"], "sparsity": 0.25}}], measure=[LATENCY])
    changed = run(Recipe.parse(data), out=root / "other", device="cpu")
    assert [row.reused for row in changed.rows] == [True, True, True, False]
    assert np.array_equal(np.load(root / "other" / changed.rows[1].path / "logits.npz")["logits"], logits["finetune"])


def test_another_recipes_directory_is_refused(finished):
    root, _, _ = finished
    other = parsed(root, [FINETUNE], name="other")
    with pytest.raises(InputError, match="another recipe"):
        run(other, out=root / "out", device="cpu")


def test_a_fine_tuned_checkpoint_needs_no_fine_tune_stage(finished, tmp_path):
    root, _, report = finished
    cut = {"pattern": "heads", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"}
    data = recipe_data(root, [{"prune": cut}])
    tuned = root / "out" / report.rows[1].path
    found = run(Recipe.parse({**data, "model": str(tuned)}), out=tmp_path / "out", device="cpu")
    assert found.rows[0].baseline and found.rows[0].quality.value == report.rows[1].quality.value
    assert found.rows[1].quality.difference is not None and found.rows[1].seed is None


def test_seeds_repeat_only_what_draws(tmp_path):
    recipe = parsed(tmp_path, [FINETUNE], seeds=[0, 1])
    report = run(recipe, out=tmp_path / "out", device="cpu")
    assert [(row.id, row.seed) for row in report.rows] == [
        ("source", 0), ("source", 1), ("finetune", 0), ("finetune", 1),
    ]  # fmt: skip
    assert [row.baseline for row in report.rows] == [False, False, True, True]
    assert report.rows[2].sha256 != report.rows[3].sha256
    assert {path.name for path in (tmp_path / "out" / "stages").iterdir()} == {
        "00-source-seed-0", "00-source-seed-1", "01-finetune-seed-0", "01-finetune-seed-1",
    }  # fmt: skip


def test_a_failed_stage_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    from compress.distill.stage import Distill

    def broken(self, bundle, ctx):
        raise StageFailed("it broke", advice="mend it")

    monkeypatch.setattr(Distill, "run", broken)
    alone = {"prune": {"id": "alone", "start": "finetune", "pattern": "heads", "sparsity": 0.5, "recover": "none"}}
    recipe = parsed(tmp_path, [FINETUNE, DISTILL, PRUNE, alone])
    report = run(recipe, out=tmp_path / "out", device="cpu")
    assert set(report.failed) == {"distill (seed 0)", "prune (seed 0)"}
    assert "it broke" in report.failed["distill (seed 0)"] and "left out" in report.failed["prune (seed 0)"]
    assert [row.id for row in report.rows] == ["source", "finetune", "alone"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["failed"]


def test_an_error_that_nobody_foresaw_fails_its_stage_alone(tmp_path, monkeypatch):
    from compress.distill.stage import Distill

    def broken(self, bundle, ctx):
        raise KeyError("x" * 10_000)

    monkeypatch.setattr(Distill, "run", broken)
    first = {"finetune": {"train": {"max_steps": 1}}}
    alone = {"prune": {"id": "alone", "start": "finetune", "pattern": "heads", "sparsity": 0.5, "recover": "none"}}
    report = run(parsed(tmp_path, [first, DISTILL, PRUNE, alone]), out=tmp_path / "out", device="cpu")
    assert set(report.failed) == {"distill (seed 0)", "prune (seed 0)"}
    said = report.failed["distill (seed 0)"]
    assert "KeyError" in said and "log.txt" in said and len(said) < 1_000
    assert "Traceback (most recent call last)" in (tmp_path / "out" / "log.txt").read_text()
    assert [row.id for row in report.rows] == ["source", "finetune", "alone"]


def test_a_second_run_in_the_store_may_read_longer_texts(finished):
    root, _, _ = finished
    data = recipe_data(root, [], name="longer")
    data["task"]["text_classification"]["max_length"] = 16
    report = run(Recipe.parse(data), out=root / "longer", device="cpu")
    assert report.failed == {} and [row.reused for row in report.rows] == [True]


def test_what_cannot_be_measured_is_nothing_to_stand_on(tmp_path, monkeypatch):
    from compress.core.errors import ParityError
    from recipes.engine import evidence

    def unlike(job, directory):
        if job.directory.name == "01-finetune":
            raise ParityError("the reload differs")
        return measured(job, directory)

    measured = evidence.measure
    monkeypatch.setattr(evidence, "measure", unlike)
    recipe = parsed(tmp_path, [FINETUNE, {"prune": {"pattern": "heads", "sparsity": 0.5, "recover": "none"}}])
    report = run(recipe, out=tmp_path / "out", device="cpu")
    assert [row.id for row in report.rows] == ["source"]
    assert "the reload differs" in report.failed["finetune (seed 0)"] and "left out" in report.failed["prune (seed 0)"]
    monkeypatch.undo()
    mended = run(recipe, out=tmp_path / "out", device="cpu")
    assert mended.failed == {} and [row.reused for row in mended.rows] == [True, True, False]


def test_another_evaluation_split_is_measured_anew_and_nothing_is_trained(finished, tmp_path):
    root, recipe, before = finished
    kept = (root / "out" / before.rows[1].path / "logits.npz").read_bytes()
    validation = root / "data" / "validation.jsonl"
    rows = validation.read_text().splitlines()
    validation.write_text("\n".join(rows[:40]))
    try:
        fewer = run(Recipe.parse(recipe.dump()), out=root / "fewer", device="cpu")
    finally:
        validation.write_text("\n".join(rows))
    assert fewer.failed == {} and all(row.reused for row in fewer.rows)
    assert {row.quality.examples for row in fewer.rows[1:]} == {40}
    assert (root / "out" / before.rows[1].path / "logits.npz").read_bytes() == kept


def test_a_stage_put_before_others_leaves_their_work_as_it_is(finished):
    root, _, _ = finished
    alone = {"prune": {"id": "first", "pattern": "neurons", "sparsity": 0.5, "criterion": "random", "recover": "none"}}
    tuned = {"finetune": {**FINETUNE["finetune"], "id": "tuned", "start": "source"}}
    report = run(parsed(root, [alone, tuned, DISTILL], name="moved"), out=root / "moved", device="cpu")
    assert report.failed == {}
    assert [(row.id, row.reused) for row in report.rows] == [
        ("source", True), ("first", False), ("tuned", True), ("distill", True),
    ]  # fmt: skip


def test_a_fresh_run_takes_nothing_from_others(finished):
    root, _, _ = finished
    report = run(parsed(root, [], name="alone"), out=root / "alone", fresh=True, device="cpu")
    assert [row.reused for row in report.rows] == [False]


def test_a_full_disk_leaves_finished_stages_whole(tmp_path, monkeypatch):
    import errno

    from compress.core.checkpoint import save as saving

    recipe = parsed(tmp_path, [FINETUNE, DISTILL])
    run(parsed(tmp_path, [FINETUNE]), out=tmp_path / "out", device="cpu")
    kept = sorted(path.name for path in (tmp_path / "out" / "stages" / "01-finetune").iterdir())

    def full(bundle, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving, "save", full)
    report = run(recipe, out=tmp_path / "out", device="cpu")
    assert "No space left" in report.failed["distill (seed 0)"]
    assert sorted(path.name for path in (tmp_path / "out" / "stages" / "01-finetune").iterdir()) == kept
