"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.finetune.training.shared import main

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launched(data: Path, out: Path, *stop: str) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    command = [*LAUNCH, "-m", "tests.finetune.training.shared", str(data), str(out), *stop]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.heavy
def test_a_fit_of_two_processes_is_that_of_one_up_to_the_order_of_sums(data: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    main(str(data), tmp_path / "one")
    done = launched(data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two"))
    assert two["steps"] == one["steps"] == 14
    assert two["notes"]["processes"] == 2
    torch.testing.assert_close(two["losses"], one["losses"], atol=1e-4, rtol=0)
    assert two["notes"]["select_by_epoch"] == one["notes"]["select_by_epoch"]
    torch.testing.assert_close(two["answers"], one["answers"], atol=1e-5, rtol=1e-4)
    weights, others = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=1e-5, rtol=1e-4)


@pytest.mark.heavy
def test_an_interrupted_fit_of_two_processes_ends_with_the_bits_of_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    assert launched(data, broken, "9").returncode != 0
    assert list(broken.glob("fits/fit/checkpoint-*/trainer_state.json"))
    for out in (broken, whole):
        done = launched(data, out)
        assert done.returncode == 0, done.stderr
    weights, others = (load_file(out / "model.safetensors") for out in (broken, whole))
    assert all(torch.equal(others[name], weight) for name, weight in weights.items())
    one, two = (json.loads((out / "result.json").read_text()) for out in (broken, whole))
    assert one == two
