"""A run that a launcher starts in two processes: the report of one, resumed after a kill, ended by one message."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, PRUNE, recipe_data

pytestmark = pytest.mark.heavy
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
STAGES = [FINETUNE, DISTILL, PRUNE]
LIMIT = 400


def start(recipe: Path, out: Path, *, launch: list[str], device: str = "cpu", **variables: str) -> subprocess.Popen:
    command = [sys.executable, *launch, "-m", "recipes", "run", str(recipe), "--out", str(out), "--device", device]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


def recipe_file(root: Path, stages: list[dict[str, Any]], **settings: Any) -> Path:
    """A recipe whose model has no dropout, which each process would draw for its own rows."""
    data = recipe_data(root, stages, **settings)
    config = root / "encoder" / "config.json"
    without = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    config.write_text(json.dumps({**json.loads(config.read_text()), **without}))
    path = root / "tiny.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "report.json").read_text())["rows"]


def reused(said: str) -> list[str]:
    """Ids of the stages that a run found finished, by what its journal says."""
    return re.findall(r"^\[\d+/\d+\] (\S+): finished before and unchanged, reused$", said, re.MULTILINE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, Path, str]]:
    """The recipe, a run of one process, a run of two, and what the two printed."""
    root = tmp_path_factory.mktemp("processes")
    recipe = recipe_file(root, STAGES)
    code, _, err = ended(start(recipe, root / "alone" / "out", launch=[]))
    assert code == 0, err
    code, out, err = ended(start(recipe, root / "together" / "out", launch=LAUNCH))
    assert code == 0, err
    yield recipe, root / "alone" / "out", root / "together" / "out", out


def test_two_processes_give_the_report_of_one_up_to_the_order_of_sums(runs: tuple[Path, Path, Path, str]) -> None:
    _, alone, together, _ = runs
    for one, two in zip(rows(alone), rows(together), strict=True):
        assert one["identity"] == two["identity"]
        assert one["size"] == two["size"] and one["cut"] == two["cut"]
        if one["quality"]:
            assert two["quality"]["value"] == pytest.approx(one["quality"]["value"], abs=0.02)
        for name in ("steps", "trained_parameters"):
            assert one["facts"].get(name) == two["facts"].get(name)
    one, two = rows(alone)[1]["facts"], rows(together)[1]["facts"]
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
    assert two["select"] == one["select"]


def test_the_report_says_how_many_trained_and_one_process_printed_it(runs: tuple[Path, Path, Path, str]) -> None:
    _, alone, together, printed = runs
    said = [any("trained on 2 processes" in note for note in row["notes"]) for row in rows(together)]
    assert said == [False, True, True, True]
    assert not any("processes" in note for row in rows(alone) for note in row["notes"])
    assert "trained on 2 processes" in (together / "report.md").read_text()
    assert printed.count("report.html") == 1
    assert not list((together / "stages").glob(".*"))


def test_what_two_processes_finished_one_reuses(runs: tuple[Path, Path, Path, str]) -> None:
    recipe, _, together, _ = runs
    code, _, err = ended(start(recipe, together, launch=[]))
    assert code == 0, err
    assert reused(err) == ["source", "finetune", "distill", "prune"]


def test_a_killed_run_of_two_processes_resumes(runs: tuple[Path, Path, Path, str], tmp_path: Path) -> None:
    recipe, _, together, _ = runs
    out = tmp_path / "out"
    process = start(recipe, out, launch=LAUNCH)
    until = time.monotonic() + LIMIT
    while process.poll() is None and not list(out.glob("stages/*distill*/stage.json")) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in [*children(process.pid), process.pid]:  # each has a session of its own
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    code, _, err = ended(start(recipe, out, launch=LAUNCH))
    assert code == 0, err
    assert reused(err)[:2] == ["source", "finetune"]
    again, before = rows(out), rows(together)
    assert [row["quality"] for row in again] == [row["quality"] for row in before]
    assert [row["sha256"] for row in again] == [row["sha256"] for row in before]


def test_a_mistake_is_said_once(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, STAGES)
    recipe.write_text(recipe.read_text().replace("learning_rate", "lerning_rate"))
    code, _, err = ended(start(recipe, tmp_path / "out", launch=LAUNCH))
    assert code != 0
    assert err.count("error: ") == 1 and "did you mean" in err


def test_a_stage_that_fails_in_every_process_leaves_the_others_their_turn(tmp_path: Path) -> None:
    hot = {"finetune": {"id": "hot", "start": "source", "train": {"epochs": 8, "learning_rate": 1e30}}}
    recipe = recipe_file(tmp_path, [FINETUNE, hot, {"prune": {**PRUNE["prune"], "start": "finetune"}}])
    code, _, err = ended(start(recipe, tmp_path / "out", launch=LAUNCH))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert code != 0 and "the loss became" in err
    assert [row["id"] for row in report["rows"]] == ["source", "finetune", "prune"]
    assert list(report["failed"]) == ["hot (seed 0)"]


def test_a_process_that_dies_ends_all_with_one_message(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, [{"finetune": {"train": {"epochs": 2000, "batch_size": 8, "precision": "fp32"}}}])
    out = tmp_path / "out"
    process = start(recipe, out, launch=LAUNCH)
    until = time.monotonic() + LIMIT
    while not list(out.glob("stages/.*/work/*/plan.json")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(2)
    other = [pid for pid in children(process.pid) if b"RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    os.kill(other[0], signal.SIGKILL)
    code, _, err = ended(process)
    assert code != 0
    assert err.count("run the same command again to resume") == 1


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_share_a_run(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, [FINETUNE])
    code, _, err = ended(start(recipe, tmp_path / "out", launch=LAUNCH, device="cuda"))
    assert code == 0, err
    assert "trained on 2 processes" in rows(tmp_path / "out")[-1]["notes"]
