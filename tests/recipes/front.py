"""A recipe on disk, with a tiny model and tiny data beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.tiny import tiny_bundle, tiny_classifier_directory, tiny_rows

__all__ = ["config_only", "recipe_data", "recipe_file", "untrained", "write_rows"]


def write_rows(directory: Path, *, train: int = 40, validation: int = 20) -> Path:
    """`train.jsonl` and `validation.jsonl` in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate({"train": train, "validation": validation}.items()):
        rows = [{"text": f"{row['text']} {name}", "label": row["label"]} for row in tiny_rows(count, seed)]
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def untrained(directory: Path, model_type: str = "bert") -> Path:
    """A checkpoint without a head for the task."""
    bundle = tiny_bundle(model_type)
    bundle.model.base_model.save_pretrained(directory)
    bundle.processor.save_pretrained(directory)
    return directory


def config_only(directory: Path) -> Path:
    """The directory without its weights."""
    (directory / "model.safetensors").unlink()
    return directory


def recipe_data(stages: list[Any], **changes: Any) -> dict[str, Any]:
    """A recipe whose paths are relative to its file."""
    task = {"text_classification": {"data": "data", "max_length": 32}}
    return {"name": "tiny", "model": "model", "task": task, "stages": stages, **changes}


def recipe_file(folder: Path, stages: list[Any], *, trained: bool = True, family: str = "bert", **changes: Any) -> Path:
    """`recipe.yaml` in `folder`, with `model` and `data` beside it."""
    if not (folder / "model").exists():
        (tiny_classifier_directory if trained else untrained)(folder / "model", family)
        write_rows(folder / "data")
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe_data(stages, **changes), sort_keys=False))
    return file
