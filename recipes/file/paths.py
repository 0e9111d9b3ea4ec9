"""Relative paths in a recipe, resolved against the recipe's directory. No torch here."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from compress.core.errors import InputError
from compress.core.files import named_path
from compress.core.values import NamesFile
from recipes.file.locate import field_type, keys, settle
from recipes.file.yaml import Document

__all__ = ["near_the_file"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?$")
_FILE = re.compile(r"\.(json|jsonl|csv|tsv|parquet|safetensors)(\.gz)?$", re.IGNORECASE)


def near_the_file(document: Document, file: Path, *, stages: Any) -> Document:
    """The document with the paths of model, data and what stages read made absolute, where they exist beside `file`.

    A path that exists neither there nor in the working directory, and cannot be a hub id, is an error.

    Args:
        document: the recipe, not yet validated.
        file: where it was read.
        stages: the type of a stage in it; its settings that name files say so by their type.
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
    if "stages" in data:
        changed["stages"] = _named(stages, data["stages"], ("stages",), document, file)
    return replace(document, data=changed)


def _named(annotation: Any, value: Any, words: tuple[Any, ...], document: Document, file: Path) -> Any:
    """`value` with every path in it that its type marks as one."""
    if isinstance(value, str):
        return _resolved(value, words, document, file) if _names_file(annotation) else value
    if isinstance(value, list):
        return [_named(annotation, item, (*words, index), document, file) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    name, model, settings = settle(annotation, value)
    if model is None or not isinstance(settings, dict):
        return value
    here, fields = (*words, name) if name else words, keys(model)
    found = {
        key: _named(field_type(fields[key]), inner, (*here, key), document, file) if key in fields else inner
        for key, inner in settings.items()
    }
    return {name: found} if name else found


def _names_file(annotation: Any) -> bool:
    return isinstance(annotation, NamesFile) or any(_names_file(inner) for inner in get_args(annotation))


def _part(key: str, value: Any, words: tuple[Any, ...], document: Document, file: Path) -> Any:
    """`data` may be a directory; any setting may name a file of the data."""
    if isinstance(value, str) and (key == "data" or _FILE.search(value)):
        return _resolved(value, words, document, file)
    return value


def _resolved(value: str, words: tuple[Any, ...], document: Document, file: Path) -> str:
    try:
        path = named_path(value)
        named_path(file.parent / path)
    except InputError as error:
        name, line = document.locate(words)
        error.where = f"{name}:{line}: {'.'.join(map(str, words))}"
        raise
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
