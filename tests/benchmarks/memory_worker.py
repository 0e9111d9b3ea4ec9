"""One short training in a process of its own: what it took at its peak, and what was predicted of it.

`python -m tests.benchmarks.memory_worker '{"method": "bitfit", "device": "cpu"}'` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.context import make_context
from finetune.memory_prediction.estimate import TrainingMemory
from finetune.method import Method
from finetune.stage import Finetune
from finetune.tasks.text_classification import TextClassification
from recipes.measure.memory import peak_memory
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle
from tests.tiny.stages import declared

LENGTH, ROWS = 128, 160
SHAPES = {
    "MiniLM-L6": {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
    "BERT-base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
}


def task(directory: Path) -> TextClassification:
    """Rows of at least `LENGTH` tokens: what a prediction must reckon with."""
    rows = [{"text": "good film bad film " * 40 + str(number), "label": number % 2} for number in range(ROWS)]
    write_rows(directory / "train.jsonl", rows)
    write_rows(directory / "test.jsonl", [{**row, "text": f"test {row['text']}"} for row in rows[:16]])
    return TextClassification(data=str(directory), max_length=LENGTH)


def model(shape: str) -> Bundle:
    sizes: dict[str, Any] = SHAPES[shape]
    bundle = tiny_bundle("bert", vocab_size=30_522, num_attention_heads=12, max_position_embeddings=512, **sizes)
    bundle.processor.model_max_length = 512
    return bundle


def warmed_up(ctx: Context) -> None:
    """Whatever is imported, and kept, at the first training."""
    plan = TrainPlan(max_steps=2, batch_size=2)
    Finetune(method=Method.parse("full"), train=plan).run(tiny_bundle("bert", max_position_embeddings=512), ctx)


def measured(
    *, method: Any, device: str, base: str = "fp32", shape: str = "MiniLM-L6", batch_size: int = 16, steps: int = 6,
    precision: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    plan = TrainPlan(max_steps=steps, batch_size=batch_size, precision=precision)
    stage = Finetune(method=Method.parse(method), base=base, train=plan)
    with tempfile.TemporaryDirectory() as directory:
        data = task(Path(directory))
        ctx = make_context(data, data.load(0), seed=0, device=torch.device(device), scratch=None)
        warmed_up(ctx)
        with peak_memory(device) as peak:
            stage.run(model(shape), ctx)
    foreseen = prediction(stage, shape, torch.device(device))
    return {"measured": peak.bytes - peak.before, "notes": peak.notes, **foreseen}


def prediction(stage: Finetune, shape: str, device: torch.device) -> dict[str, Any]:
    bundle = model(shape)
    bundle.model.to("meta")
    said = declared(stage, bundle.sketch())
    bundle = said.trained(bundle)
    names = said.moves(bundle)
    if names is None:
        names = frozenset(name for name, _ in bundle.model.named_parameters())
    memory = TrainingMemory(bundle.model, bundle.family, names, stage.plan().over(DEFAULT_PLAN), LENGTH, device)
    found = memory.at()
    return {"predicted": found.training, "parts": found.parts(), "trained": memory.trained_parameters}


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))
