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

from tests.finetune.fit.shared import main

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.slow
def test_a_fit_of_two_processes_is_that_of_one_up_to_the_order_of_sums(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    main(str(data), tmp_path / "one")
    command = [*LAUNCH, "-m", "tests.finetune.fit.shared", str(data), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two"))
    assert two["steps"] == one["steps"] == 14
    assert two["notes"]["processes"] == 2
    torch.testing.assert_close(two["notes"]["loss_curve"], one["notes"]["loss_curve"], atol=1e-4, rtol=0)
    assert two["notes"]["select_by_epoch"] == one["notes"]["select_by_epoch"]
    torch.testing.assert_close(two["answers"], one["answers"], atol=1e-5, rtol=1e-4)
    weights, others = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=1e-5, rtol=1e-4)
