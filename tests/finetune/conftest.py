"""A tiny task on files, a tiny model, and a context for both."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.context import make_context
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.tiny import tiny_bundle, tiny_rows

Rows = list[dict[str, Any]]


def write_rows(path: Path, rows: Rows) -> Path:
    """One JSON object a line, compressed where the name ends in .gz."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Rows], Path]:
    return lambda name, rows: write_rows(tmp_path / name, rows)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of 96 training and 24 validation rows."""
    directory = tmp_path_factory.mktemp("data")
    write_rows(directory / "train.jsonl.gz", tiny_rows(96, seed=0))
    write_rows(directory / "validation.jsonl.gz", tiny_rows(24, seed=1))
    return directory


@pytest.fixture(scope="session")
def task(data: Path) -> TextClassification:
    return TextClassification(data=str(data), max_length=24)


@pytest.fixture(scope="session")
def splits(task: TextClassification) -> Splits:
    return task.load(0)


@pytest.fixture
def bundle() -> Bundle:
    return tiny_bundle("bert", labels=2, seed=0)


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")


@pytest.fixture
def context(task: TextClassification, splits: Splits) -> Callable[..., Context]:
    def make(scratch: Path | None = None) -> Context:
        return make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=scratch)

    return make
