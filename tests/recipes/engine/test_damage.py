"""A bit flipped in any file of a run is noticed by the next, and only what stands on it is made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compress.core.errors import InputError
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.record import Report
from recipes.report.run_files import read_run
from tests.recipes.engine.test_run import without_measured_times
from tests.recipes.engine.test_store import flip
from tests.recipes.engine.tiny_run import FINETUNE, LATENCY, recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("damage")]
SHORT = {"max_steps": 4, "learning_rate": 1e-2}
TUNED = {"finetune": {**FINETUNE["finetune"], "train": SHORT}}
BITFIT = {"finetune": {"id": "bitfit", "start": "finetune", "method": "bitfit", "train": SHORT}}
TICKET = {
    "find_ticket": {"id": "ticket", "start": "finetune", "rounds": 1, "sparsity": 0.5, "train": SHORT},
}
EXPORT = {"export": {"start": "finetune", "format": {"onnx": {"precision": "fp32"}}}}
VIEWS = {"report.md", "report.html", "log.txt", ".lock"}
"""What is written and never read again."""


class Finished:
    def __init__(self, root: Path):
        self.recipe = Recipe.parse(recipe_data(root, [TUNED, BITFIT, EXPORT], measure=[LATENCY]))
        self.out = root / "one" / "out"
        self.report = run(self.recipe, out=self.out, device="cpu")
        assert self.report.failed == {}

    def copy(self, place: Path) -> Path:
        """Alone in its store, so that nothing is taken from another run."""
        return shutil.copytree(self.out, place / "out")

    def files(self) -> list[str]:
        names = [path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()]
        return sorted(name for name in names if name not in VIEWS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("damage"))


def remade(report: Report) -> set[str]:
    return {str(row.path) for row in report.rows if not row.reused}


def test_a_copied_run_is_reused_as_it_is(finished, tmp_path):
    again = run(finished.recipe, out=finished.copy(tmp_path), device="cpu", verify=True)
    assert remade(again) == set() and again.failed == {}


@pytest.mark.parametrize("harm", ["flipped", "removed"])
def test_any_damaged_file_is_noticed(finished, tmp_path, harm):
    wrong = {}
    for number, name in enumerate(finished.files()):
        out = finished.copy(tmp_path / str(number))
        (out / name).unlink() if harm == "removed" else flip(out / name)
        found = unlike(finished, out, name)
        if found:
            wrong[name] = found
        shutil.rmtree(out)
    assert wrong == {}


def unlike(finished: Finished, out: Path, name: str) -> str | None:
    """What is not as it should be after `name` was damaged."""
    if name == "report.json":
        with pytest.raises(InputError):
            read_run(out)
    if name == "recipe.yaml" and not (out / name).exists():
        return None  # then the directory holds no run, and is left alone
    again = run(finished.recipe, out=out, device="cpu")
    folder = "/".join(name.split("/")[:2])
    stage = name.startswith(("stages", "exports")) and not name.endswith(("measurement.json", "logits.npz"))
    if again.failed:
        return str(again.failed)
    if remade(again) != ({folder} if stage else set()):
        return f"made again: {remade(again)}"
    if without_measured_times(again) != without_measured_times(finished.report):
        return "another report"
    if name.startswith(".work/evaluation"):
        return None  # read where something is measured
    last = run(finished.recipe, out=out, device="cpu", verify=True)
    return None if remade(last) == set() else f"damaged still: {remade(last)}"
