"""A context on the tiny task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from compress.core.stage.context import Context
from finetune.context import make_context
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification


@pytest.fixture
def context(task: TextClassification, splits: Splits) -> Callable[..., Context]:
    def make(scratch: Path | None = None) -> Context:
        return make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=scratch)

    return make
