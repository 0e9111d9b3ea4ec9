"""A run that is killed resumes, and ends with the report of an unbroken run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.recipes.engine.tiny_run import DISTILL, FINETUNE, PRUNE, recipe_data

pytestmark = pytest.mark.slow
TIMINGS = ("speed", "cost", "load_seconds", "resident_bytes")


def start(recipe: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "recipes", "run", str(recipe), "--out", str(out), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out.parent.mkdir(parents=True, exist_ok=True)
    with said(out).open("a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def said(out: Path) -> Path:
    """What the runs into `out` print."""
    return out.with_suffix(".said")


def rows(out: Path) -> list[dict]:
    found = json.loads((out / "report.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in found]


def written(out: Path) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(out))


def test_a_killed_run_ends_like_an_unbroken_one(tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(recipe_data(tmp_path, [FINETUNE, DISTILL, PRUNE])))
    unbroken = start(recipe, tmp_path / "one" / "unbroken")
    assert unbroken.wait() == 0, said(tmp_path / "one" / "unbroken").read_text()
    whole = written(tmp_path / "one" / "unbroken")
    broken = tmp_path / "two" / "broken"
    for share in (0.2, 0.5, 0.8):
        process = start(recipe, broken)
        until = time.monotonic() + 60
        while process.poll() is None and written(broken) < share * whole and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = start(recipe, broken)
    assert last.wait() == 0, said(broken).read_text()
    assert rows(broken) == rows(tmp_path / "one" / "unbroken")


def test_a_second_process_is_refused_while_one_works(tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(recipe_data(tmp_path, [FINETUNE])))
    out = tmp_path / "out"
    first = start(recipe, out)
    until = time.monotonic() + 60
    while not (out / "log.txt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    second = start(recipe, out)
    second.wait()
    first.kill()
    first.wait()
    assert second.returncode == 2 and "another process" in said(out).read_text()
