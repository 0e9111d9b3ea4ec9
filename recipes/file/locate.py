"""Locations in a recipe: the path of a setting, and the settings that are allowed there. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from compress.core.choice import Choice, snake_case
from compress.core.errors import InputError, UnknownName
from compress.core.values import NamesFile

__all__ = ["Late", "Place", "field_type", "find_place", "is_set", "keys", "set_at", "settings_inside", "settle"]


class Late:
    """Lazily imported set of choices: imported when its first value is read, so that naming it needs no torch.

    Args:
        module: the module that defines the set.
        name: the set's class.
        discover: `module:function` that imports the members, where they have no common home.
    """

    def __init__(self, module: str, name: str, *, discover: str | None = None):
        self.module, self.name, self.discover = module, name, discover

    def choices(self) -> type[Choice]:
        if self.discover:
            module, function = self.discover.split(":")
            getattr(importlib.import_module(module), function)()
        return getattr(importlib.import_module(self.module), self.name)

    def _validate(self, value: Any, handler: Any) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(self.choices()).validate_python(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._validate,
            core_schema.any_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.recipe_form()),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.choices().__get_pydantic_json_schema__(schema, handler)


@dataclass(frozen=True)
class Place:
    """Location in a recipe: the path with the names of choices put in, its value, and the settings it belongs to."""

    words: tuple[Any, ...]
    value: Any
    owner: type[BaseModel] | None


def find_place(root: type[BaseModel], data: Any, loc: Sequence[Any]) -> Place:
    """Location that a pydantic error names; pydantic leaves the names of choices out and puts tags of unions in.

    Args:
        root: the settings class that `data` should have been.
        data: plain data.
        loc: the error's `loc`: keys, indexes and tags.
    """
    words: list[Any] = []
    annotation: Any = root
    value, owner = data, None
    for part in loc:
        if isinstance(part, int):
            if isinstance(value, list | tuple) and part < len(value):
                words.append(part)
                value = value[part]
            continue
        name, model, settings = settle(annotation, value)
        known = keys(model)
        if model is not None and part in known:
            words.extend([name] if name and isinstance(value, dict) else [])
            words.append(part)
            owner, annotation = model, field_type(known[part])
            value = settings.get(part) if isinstance(settings, dict) else None
        elif isinstance(settings, dict) and part in settings:
            words.extend([name] if name else [])
            words.append(part)
            owner, annotation, value = model, None, settings[part]
    return Place(tuple(words), value, owner)


def keys(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """Key in a recipe -> field, of every setting of `model`."""
    return {field.alias or name: field for name, field in model.model_fields.items()} if model is not None else {}


def set_at(annotation: Any, value: Any, parts: Sequence[str], new: Any) -> Any:
    """Copy of `value` with `new` at a path; whether the key exists is left to validation.

    Args:
        annotation: the type of `value`.
        value: plain data.
        parts: the path: keys, indexes and names of choices.
        new: plain data.

    Raises:
        UnknownName: an index or the name of a choice that is not there; with the near one.
    """
    if not parts:
        return new
    part, rest = parts[0], parts[1:]
    if isinstance(value, list | tuple):
        known = [str(index) for index in range(len(value))]
        if part not in known:
            raise UnknownName("index", part, known)
        return [set_at(annotation, item, rest, new) if str(i) == part else item for i, item in enumerate(value)]
    sets = [model for model in settings_inside(annotation) if is_set(model)]
    if sets and (not isinstance(value, dict) or len(value) == 1):
        return _set_in_choice(sets[0], value, part, rest, new)
    if not isinstance(value, dict | None):
        raise InputError(f"{part!r} cannot be set inside a single value", given=value)
    _, model, _ = settle(annotation, value or {})
    fields = keys(model)
    inner = field_type(fields[part]) if part in fields else None
    return {**(value or {}), part: set_at(inner, (value or {}).get(part), rest, new)}


def _set_in_choice(choices: type[Choice], value: Any, part: str, rest: Sequence[str], new: Any) -> Any:
    """A choice is its name or `{name: settings}`; the path has the name, then the setting."""
    members = choices.members()
    present = value if isinstance(value, str) else next(iter(value), None) if isinstance(value, dict) else None
    known = [present] if present is not None else list(members)
    if part not in known or part not in members:
        raise UnknownName(snake_case(choices.__name__), part, known)
    settings = value[part] if isinstance(value, dict) else None
    if settings is not None and not isinstance(settings, dict) and rest and len(members[part].required()) == 1:
        settings = {members[part].required()[0]: settings}
    return {part: set_at(members[part], settings, rest, new)}


def settle(annotation: Any, value: Any) -> tuple[str | None, type[BaseModel] | None, Any]:
    """Settings class that a value is meant for: (name of the choice or None, class, its settings).

    Args:
        annotation: the type that the location allows.
        value: plain data.
    """
    best: tuple[str | None, type[BaseModel] | None, Any] = (None, None, value)
    matched = -1
    for model in settings_inside(annotation):
        if is_set(model):
            name, settings = _split(value)
            member = model.members().get(name) if name is not None else None
            if member is not None:
                return name, member, settings
        elif isinstance(value, dict):
            count = len(set(value) & set(keys(model)))
            if count > matched:
                matched, best = count, (None, model, value)
    return best


def _split(value: Any) -> tuple[str | None, Any]:
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, settings = next(iter(value.items()))
        return (name, {} if settings is None else settings) if isinstance(name, str) else (None, value)
    return None, value


def is_set(model: type[BaseModel]) -> TypeGuard[type[Choice]]:
    """Whether a settings class is a set of choices."""
    return issubclass(model, Choice) and model.is_set()


def field_type(field: FieldInfo) -> Any:
    """The type of a field, with the marks that pydantic moves from a lone annotation to its metadata."""
    annotation: Any = field.annotation
    for mark in field.metadata:
        if isinstance(mark, Late | NamesFile):
            annotation = Annotated[annotation, mark]
    return annotation


def settings_inside(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every settings class and set of choices inside a type."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    if get_origin(annotation) is Annotated:
        yield from (item.choices() for item in get_args(annotation)[1:] if isinstance(item, Late))
    for inner in get_args(annotation):
        if not isinstance(inner, Late):
            yield from settings_inside(inner)
