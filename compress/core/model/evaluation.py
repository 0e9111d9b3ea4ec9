"""One pass of a model over a batch, for what is measured on the way."""

from __future__ import annotations

import inspect
from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.training.plan import Batch

__all__ = ["forward"]


def forward(bundle: Bundle, batch: Batch) -> Any:
    """The model's answer to the batch, in evaluation mode; it is left in the mode that it was in."""
    model = bundle.model
    training = model.training
    known = inspect.signature(model.forward).parameters
    inputs = {name: value for name, value in batch.items() if name in known and name != "labels"}
    try:
        return model.eval()(**inputs)
    finally:
        model.train(training)
