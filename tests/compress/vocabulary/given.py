"""A context over tiny texts, without training."""

from __future__ import annotations

from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from tests.tiny import tiny_bundle, tiny_rows

__all__ = ["TEXTS", "context", "trained"]

TEXTS = [row["text"] for row in tiny_rows(5, seed=0)]


def context(texts: list[str] | None = None, **extra: Any) -> Context:
    found = TEXTS if texts is None else texts
    return Context(texts=lambda part: (found,), **extra)


def trained(model_type: str = "bert", **config: Any) -> Bundle:
    bundle = tiny_bundle(model_type, **config)
    bundle.states = frozenset({"head_trained"})
    return bundle
