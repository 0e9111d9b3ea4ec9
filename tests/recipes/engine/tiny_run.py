"""A recipe small enough to run in seconds, on a tiny encoder and rows that it can learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compress.core.checkpoint.open import quiet
from tests.tiny import tiny_classifier_directory, tiny_rows

FINETUNE = {"finetune": {"train": {"epochs": 8, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}}}
DISTILL = {"distill": {"student": {"layers": 2}, "train": {"epochs": 1, "batch_size": 16, "precision": "fp32"}}}
PRUNE = {
    "prune": {
        "pattern": "neurons",
        "sparsity": 0.5,
        "criterion": {"taylor": {"batches": 2}},
        "recover": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
    }
}
HEADS = {"prune": {"id": "fewer_heads", "start": "distill", "pattern": "heads", "sparsity": 0.5, "recover": "none"}}
LATENCY = {"latency": {"batch_sizes": [1], "sequence_lengths": [16, "data"], "repeats": 5, "threads": 1}}


def write_data(directory: Path, *, rows: int = 320) -> Path:
    """train.jsonl and validation.jsonl in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", rows, 0), ("validation", 60, 1)):
        lines = [json.dumps({"text": row["text"], "label": row["label"]}) for row in tiny_rows(count, seed)]
        (directory / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return directory


def encoder_directory(path: Path, model_type: str = "bert") -> Path:
    """A checkpoint without a head for any task."""
    from transformers import AutoModel

    tiny_classifier_directory(path, model_type)
    with quiet():
        AutoModel.from_pretrained(path).save_pretrained(path)
    return path


def recipe_data(root: Path, stages: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """A recipe as plain data; the model and the data are made below `root`."""
    model, data = root / "encoder", root / "data"
    if not model.exists():
        encoder_directory(model)
        write_data(data)
    task = {"data": str(data), "text": "text", "label": "label", "max_length": 32}
    return {
        "name": "tiny",
        "model": str(model),
        "task": {"text_classification": task},
        "stages": stages,
        **settings,
    }
