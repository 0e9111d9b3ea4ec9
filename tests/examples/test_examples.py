"""Every example runs on a tiny model, and says what its page promises."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Run a script as `python examples/<name> ...` would, in this process, and give what it printed."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.syspath_prepend(str(EXAMPLES))
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_the_three_doors_keep_the_same_neurons(run_example):
    printed = run_example("prune_in_python.py")
    assert "functions kept [32, 32, 32, 32] neurons" in printed
    assert "neurons (32, 32, 32, 32)" in printed
    assert "the stage kept the same: True" in printed
    assert "the recipe's stage is the same value: True" in printed


@pytest.mark.slow
def test_many_deltas_share_a_base_and_one_is_merged(run_example):
    printed = run_example("many_deltas.py")
    sizes = {name: int(size.replace(",", "")) for name, size in re.findall(r"^(\w+): ([0-9,]+) bytes", printed, re.M)}
    assert set(sizes) == {"bitfit", "lora"} and max(sizes.values()) < 20_000
    assert "a BertForSequenceClassification of its own" in printed


@pytest.mark.slow
def test_own_data_goes_from_a_file_to_a_measured_student(run_example):
    printed = run_example("own_data.py")
    values = {
        name: float(value) for name, value in re.findall(r"^(\w+) +.*accuracy ([0-9.]+)   95", printed, re.MULTILINE)
    }
    assert set(values) == {"finetune", "distill"}
    assert min(values.values()) > 0.8
