"""Relative paths in a recipe file mean files beside it. No torch here."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress.core.errors import InputError
from recipes.file.yaml import Document

__all__ = ["near_the_file"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?$")
_FILE = re.compile(r"\.(json|jsonl|csv|tsv|parquet|safetensors)(\.gz)?$", re.IGNORECASE)


FILES = ("ticket", "corpus", "head")
"""Settings of a stage that name a file or a directory; a word that is none of these there is left as it is."""


def near_the_file(document: Document, file: Path) -> Document:
    """The document with the paths of model, data and what stages read made absolute, where they exist beside `file`.

    A path that exists neither there nor in the working directory, and cannot be a hub id, is an error.
    """
    data = document.data
    if not isinstance(data, dict):
        return document
    changed = dict(data)
    if isinstance(data.get("model"), str):
        changed["model"] = _resolved(data["model"], ("model",), document, file)
    task = data.get("task")
    if isinstance(task, dict) and len(task) == 1:
        name, settings = next(iter(task.items()))
        if isinstance(settings, dict):
            words = ("task", name)
            changed["task"] = {
                name: {key: _part(key, value, (*words, key), document, file) for key, value in settings.items()}
            }
    stages = data.get("stages")
    if isinstance(stages, list):
        changed["stages"] = [_stage(stage, index, document, file) for index, stage in enumerate(stages)]
    return replace(document, data=changed)


def _stage(stage: Any, index: int, document: Document, file: Path) -> Any:
    """The stage with the paths of the files that it, or its recovery, names."""
    if not (isinstance(stage, dict) and len(stage) == 1):
        return stage
    name, settings = next(iter(stage.items()))
    words = ("stages", index, name)
    found = _named(settings, words, document, file)
    if isinstance(found, dict) and isinstance(found.get("recover"), dict):
        found = {**found, "recover": _named(found["recover"], (*words, "recover"), document, file)}
    return {name: found}


def _named(settings: Any, words: tuple[Any, ...], document: Document, file: Path) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {
        key: _resolved(value, (*words, key), document, file) if key in FILES and isinstance(value, str) else value
        for key, value in settings.items()
    }


def _part(key: str, value: Any, words: tuple[Any, ...], document: Document, file: Path) -> Any:
    """`data` may be a directory; any setting may name a file of the data."""
    if isinstance(value, str) and (key == "data" or _FILE.search(value)):
        return _resolved(value, words, document, file)
    return value


def _resolved(value: str, words: tuple[Any, ...], document: Document, file: Path) -> str:
    path = Path(value).expanduser()
    beside = file.parent / path
    if (beside if not path.is_absolute() else path).exists() and value not in ("", "."):
        return str(beside.resolve() if not path.is_absolute() else path)
    if path.exists() or (_HUB_ID.match(value) and not _FILE.search(value)):
        return value
    return _missing(value, words, document, beside.resolve(), path.absolute())


def _missing(value: str, words: tuple[Any, ...], document: Document, beside: Path, here: Path) -> str:
    name, line = document.locate(words)
    looked = f"{beside}" if beside == here else f"{beside} or {here}"
    raise InputError(
        "no such file or directory",
        where=f"{name}:{line}: {'.'.join(map(str, words))}",
        given=value,
        advice=f"looked for {looked}",
    )
