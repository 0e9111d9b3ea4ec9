"""Settings of a task that name its data: a source, and one text column or two."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, WithJsonSchema

from finetune.tasks.source import Source

__all__ = ["Columns", "Data"]


def _source(value: Any) -> Any:
    """Paths and hub ids stay text; whatever else is given must be a source."""
    if value is None or (isinstance(value, str) and value not in Source.members()):
        return value
    return TypeAdapter(Source).validate_python(value)


def _plain(value: Any) -> Any:
    return value.recipe_form() if isinstance(value, Source) else value


def _columns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _one_or_more(value: tuple[str, ...]) -> Any:
    return value[0] if len(value) == 1 else list(value)


Data = Annotated[
    str | Source | None,
    BeforeValidator(_source),
    PlainSerializer(_plain),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(_columns),
    PlainSerializer(_one_or_more),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 2}]}),
]
