"""A bit flipped in any file of a run is noticed by the next, and only what stands on it is made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compress.core.errors import InputError
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.record import Report
from recipes.report.comparing.run_files import read_run
from recipes.stage_record import StageRecord
from tests.recipes.engine.test_run import without_measured_times
from tests.recipes.engine.test_store import flip
from tests.recipes.engine.tiny_run import FINETUNE, LATENCY, recipe_data

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("damage")]
SHORT = {"max_steps": 4, "learning_rate": 1e-2}
TUNED = {"finetune": {**FINETUNE["finetune"], "train": SHORT}}
BITFIT = {"finetune": {"id": "bitfit", "start": "finetune", "method": "bitfit", "train": SHORT}}
EXPORT = {"export": {"start": "finetune", "format": {"onnx": {"precision": "fp32"}}}}
VIEWS = {"report.md", "report.html", "log.txt", ".lock"}
"""What is written and never read again."""


class Finished:
    def __init__(self, root: Path):
        self.recipe = Recipe.parse(recipe_data(root, [TUNED, BITFIT, EXPORT], measure=[LATENCY]))
        self.out = root / "one" / "out"
        self.report = run(self.recipe, out=self.out, device="cpu")
        assert self.report.failed == {}

        self.weights = weights(self.out)

    def copy(self, place: Path) -> Path:
        """Alone in its store, so that nothing is taken from another run."""
        return shutil.copytree(self.out, place / "out")

    def files(self) -> list[str]:
        """Of every file that a later run or a report reads."""
        names = [path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()]
        return sorted(name for name in names if name not in VIEWS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("damage"))


def weights(out: Path) -> dict[str, str | None]:
    """Digests of the weights by stage."""
    return {file.parent.name: StageRecord.read(file).weights for file in sorted((out / "stages").glob("*/stage.json"))}


def shown(report: Report) -> list[dict]:
    """The rows without what the tokenizer's file remembers: the last truncation, which a cache of rows leaves out."""
    rows = without_measured_times(report)
    for row in rows:
        row["sha256"] = row["size"]["tokenizer_bytes"] = None
    return rows


def remade(report: Report) -> set[str]:
    return {str(row.path) for row in report.rows if not row.reused}


def test_a_copied_run_is_reused_as_it_is(finished, tmp_path):
    again = run(finished.recipe, out=finished.copy(tmp_path), device="cpu", verify=True)
    assert remade(again) == set() and again.failed == {}


def test_a_flipped_bit_is_noticed_in_any_file(finished, tmp_path):
    wrong = {name: found for name in finished.files() if (found := after(flip, finished, tmp_path, name))}
    assert wrong == {}


REMOVED = ("model.safetensors", "tokenizer.json", "model.onnx", "logits.npz", "measurement.json", "delta_config.json")


def test_what_is_removed_is_made_again(finished, tmp_path):
    names = [name for name in finished.files() if Path(name).name in REMOVED]
    assert {Path(name).name for name in names} == set(REMOVED)
    assert {name: found for name in names if (found := after(Path.unlink, finished, tmp_path, name))} == {}


def after(harm: Callable[[Path], object], finished: Finished, place: Path, name: str) -> str | None:
    """What is not as it should be in a copy of the run, after one file was harmed."""
    out = finished.copy(place)
    try:
        harm(out / name)
        return unlike(finished, out, name)
    finally:
        shutil.rmtree(out)


def unlike(finished: Finished, out: Path, name: str) -> str | None:
    """What is not as it should be after `name` was damaged."""
    if name == "report.json":
        with pytest.raises(InputError):
            read_run(out)
    again = run(finished.recipe, out=out, device="cpu")
    folder = "/".join(name.split("/")[:2])
    stage = name.startswith(("stages", "exports")) and not name.endswith(("measurement.json", "logits.npz"))
    if again.failed:
        return str(again.failed)
    if remade(again) != ({folder} if stage else set()):
        return f"made again: {remade(again)}"
    if shown(again) != shown(finished.report) or weights(out) != finished.weights:
        return "another result"
    if name.startswith(".work/evaluation"):
        return None  # read where something is measured
    last = run(finished.recipe, out=out, device="cpu", verify=True)
    return None if remade(last) == set() else f"damaged still: {remade(last)}"
