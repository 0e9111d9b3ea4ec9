"""Masks add at most a twentieth to a step of training; SparseGPT's time grows with the number of layers."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.sparsegpt import SparseGPT
from compress.prune.stage import Prune
from compress.prune.weights.elements import Elements
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from tests.benchmarks.test_training_overhead import BATCH, CPU, ROUNDS, STEPS, through_fit
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle, tiny_rows

pytestmark = pytest.mark.benchmark
# The shape of MiniLM-L6.
SIZES = {"vocab_size": 30522, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}


def task_of(directory: Path) -> TextClassification:
    write_rows(directory / "train.jsonl", tiny_rows(STEPS * BATCH * 2))
    write_rows(directory / "test.jsonl", tiny_rows(20, seed=1))
    return TextClassification(data=str(directory), max_length=64)


def prune(criterion: Magnitude | SparseGPT, bundle: Bundle, ctx: Context) -> Bundle:
    return Prune(pattern=Elements(), sparsity=0.5, criterion=criterion, recover=None).run(bundle, ctx)


def test_masks_in_a_step(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    splits = task.load(0)
    plain = tiny_bundle("bert", num_hidden_layers=6, **SIZES)
    masked = prune(Magnitude(), plain.copy(), Context())
    times: dict[str, list[np.ndarray]] = {"plain": [], "masked": []}
    for turn in range(ROUNDS):
        runs = [("plain", plain), ("masked", masked)]
        for name, bundle in runs if turn % 2 else reversed(runs):
            times[name].append(through_fit(bundle.copy(), task, splits))
    # The fastest of the rounds is the one that the machine disturbed least. The first step warms up.
    best = {name: np.min(found, axis=0)[1:].sum() for name, found in times.items()}
    print(f"\na masked step: {best['masked'] / (STEPS - 2):.4f} s, {best['masked'] / best['plain']:.3f} of a plain one")
    assert best["masked"] <= 1.05 * best["plain"]


def test_sparsegpt_by_layers(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    ctx = make_context(task, task.load(0), seed=0, device=CPU, scratch=None)
    seconds = {}
    for layers in (2, 4, 8):
        bundle, found = tiny_bundle("bert", num_hidden_layers=layers, **SIZES), []
        for _ in range(3):
            copy = bundle.copy()
            started = time.perf_counter()
            with torch.no_grad():
                prune(SparseGPT(rows=64), copy, ctx)
            found.append(time.perf_counter() - started)
        seconds[layers] = min(found)
    slopes = [(seconds[4] - seconds[2]) / 2, (seconds[8] - seconds[4]) / 4]
    print(f"\nsparsegpt: {', '.join(f'{n} layers {s:.2f} s' for n, s in seconds.items())}")
    assert slopes[1] <= 1.3 * slopes[0] and slopes[0] <= 1.3 * slopes[1]
