"""What the export tests share: a context over tiny rows, and models that are cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context
from compress.core.surgery.heads_and_neurons import head_counts, keep_heads, keep_neurons, neuron_counts
from compress.export.traceable import input_names
from tests.tiny import TinyTask, tiny_bundle, tiny_rows

__all__ = ["context", "cut_bundle", "logits_of", "trained_bundle"]


def trained_bundle(model_type: str, **config: Any) -> Bundle:
    bundle = tiny_bundle(model_type, **config)
    bundle.states = frozenset({"head_trained"})
    return bundle


def cut_bundle(model_type: str = "bert") -> Bundle:
    """Another number of heads and neurons in each block."""
    bundle = trained_bundle(model_type)
    heads, neurons = head_counts(bundle.model, bundle.family), neuron_counts(bundle.model, bundle.family)
    keep_heads(bundle.model, bundle.family, tuple(tuple(range(1 + n % of)) for n, of in enumerate(heads)))
    keep_neurons(bundle.model, bundle.family, tuple(tuple(range(of - 8 * n)) for n, of in enumerate(neurons)))
    return bundle


def context(scratch: Path, *, rows: int = 96) -> Context:
    """Batches of tiny texts with `row_id` and labels, as finetune gives them."""

    def batches(bundle: Bundle, part: str = "train", count: int | None = None, batch_size: int = 32) -> Iterator[Batch]:
        drawn = tiny_rows(rows, seed={"train": 1, "select": 2}[part])
        starts = list(range(0, len(drawn), batch_size))[:count]
        return (_encoded(bundle, drawn[start : start + batch_size]) for start in starts)

    return Context(task=TinyTask(), batches=batches, scratch=scratch)


def _encoded(bundle: Bundle, rows: list[dict[str, Any]]) -> Batch:
    encoded = bundle.processor([row["text"] for row in rows], padding=True, return_tensors="pt")
    return {
        **encoded,
        "labels": torch.tensor([row["label"] for row in rows]),
        "row_id": torch.tensor([row["row_id"] for row in rows]),
    }


def logits_of(bundle: Bundle, batch: Batch) -> np.ndarray:
    with torch.inference_mode():
        return bundle.model(**{name: batch[name] for name in input_names(bundle.model, batch)}).logits.numpy()
