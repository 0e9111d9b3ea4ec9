"""The same recipe on a GPU: trained there, reloaded and compared on the CPU, timed where it is asked."""

from __future__ import annotations

import pytest
import torch

from recipes.engine.run import run
from recipes.file.recipe import Recipe
from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, PRUNE, recipe_data

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

ON_THE_GPU = {"latency": {"batch_sizes": [8], "sequence_lengths": [16], "repeats": 5, "device": "cuda"}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")
    recipe = Recipe.parse(recipe_data(root, [FINETUNE, DISTILL, PRUNE], measure=[ON_THE_GPU]))
    return run(recipe, out=root / "out", device="auto")


def test_auto_takes_the_gpu_and_every_reload_is_equal(report):
    assert report.environment["training_device"].startswith("cuda")
    assert report.failed == {}
    assert [row.id for row in report.rows] == ["source", "finetune", "distill", "prune"]
    assert report.rows[1].quality.value > 0.8


def test_peak_memory_is_the_devices(report):
    total = torch.cuda.get_device_properties(0).total_memory
    assert all(0 < row.cost.peak_bytes < total for row in report.rows[1:])


def test_latency_is_measured_on_the_gpu(report):
    points = [point for row in report.rows[1:] for point in row.speed]
    assert points and all(point.device.startswith("cuda") and point.median_seconds > 0 for point in points)
