"""Open sets of alternatives inside a stage: a criterion, a loss, an export format.

A *set* is a direct subclass of `Choice` (`class Criterion(Choice)`); a *member* is a subclass of a set, in a file of
its own below the set's `home`. Subclassing is the registration. In a recipe a member is written as its name, or as a
one-key mapping from its name to its settings; a member with one required field takes that field's value directly.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from inspect import isabstract
from typing import Any, ClassVar, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from compress.core.errors import UnknownName
from compress.core.values import Settings

__all__ = ["Choice", "import_all", "snake_case"]

C = TypeVar("C", bound="Choice")


def snake_case(name: str) -> str:
    """`SoftTargets` -> `soft_targets`; `LoRA`-like names set `name` on the class instead."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@cache
def import_all(package: str) -> None:
    """Import every module below `package`, once; the error of a module that fails to import is raised."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(getattr(root, "__path__", []), prefix=f"{package}."):
        importlib.import_module(module.name)


class Choice(Settings):
    """Parent of all sets of alternatives; see the module's docstring."""

    home: ClassVar[str | tuple[str, ...]] = ""
    """The package or packages that hold the members, one file each; empty where others import them, from anywhere."""
    name: ClassVar[str] = ""
    """The member's name in a recipe; the class's name in snake_case unless given."""
    plural: ClassVar[str] = ""
    """Name of a set for `trimformer list`; its class's name in snake_case with an `s` unless given."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Settings that an example needs beside those without a default, where one of several must be given."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = snake_case(cls.__name__)

    @classmethod
    def is_set(cls) -> bool:
        return any(base.__qualname__ == "Choice" and base.__module__ == __name__ for base in cls.__bases__)

    @classmethod
    def homes(cls) -> tuple[str, ...]:
        return (cls.home,) if isinstance(cls.home, str) and cls.home else tuple(cls.home)

    @classmethod
    def members(cls: type[C]) -> dict[str, type[C]]:
        """Name -> class, of every member of this set that is not abstract, sorted by name."""
        for home in cls.homes():
            import_all(home)
        found: dict[str, type[C]] = {}
        waiting = list(cls.__subclasses__())
        while waiting:
            member = waiting.pop()
            waiting.extend(member.__subclasses__())
            hidden = member.__name__.startswith("_") or isabstract(member)
            if member.__module__.startswith(cls.homes() or "") and not hidden:
                found[member.name] = member
        return dict(sorted(found.items()))

    @classmethod
    def required(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if field.is_required()]

    @classmethod
    def parse(cls: type[C], value: Any) -> C:
        """A member from its recipe form.

        Raises:
            UnknownName: the name is none of the set's.
            pydantic.ValidationError: the settings do not fit the member.
        """
        if isinstance(value, cls):
            return value
        name, settings = _split(cls, value)
        known = cls.members()
        if name not in known:
            raise UnknownName(snake_case(cls.__name__), name, known)
        member = known[name]
        if settings is None:
            settings = {}
        if not isinstance(settings, dict):
            settings = _short_form(member, settings)
        return member.model_validate(settings)

    def recipe_form(self) -> Any:
        """The shortest recipe form that reads back to this value."""
        settings = self.dump()
        return {self.name: settings} if settings else self.name

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not cls.is_set():
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            lambda value: _parse_in_pydantic(cls, value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.recipe_form()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if not cls.is_set():
            return handler(schema)
        return {"anyOf": [form for name, member in cls.members().items() for form in _forms(name, member)]}


def _split(cls: type[Choice], value: Any) -> tuple[str, Any]:
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value)), str):
        return next(iter(value.items()))
    raise PydanticCustomError(
        "choice_form",
        "a {kind} is its name, or a mapping with one key, from its name to its settings",
        {"kind": snake_case(cls.__name__)},
    )


def _short_form(member: type[Choice], value: Any) -> dict[str, Any]:
    required = member.required()
    if len(required) == 1:
        return {required[0]: value}
    raise PydanticCustomError("choice_settings", "the settings of {name} are a mapping", {"name": member.name})


def _parse_in_pydantic(cls: type[C], value: Any) -> C:
    try:
        return cls.parse(value)
    except UnknownName as error:
        raise PydanticCustomError(
            "unknown_choice", "{what}; {advice}", {"what": error.what, "advice": error.advice or ""}
        ) from error


def _forms(name: str, member: type[Choice]) -> list[dict[str, Any]]:
    summary = (member.__doc__ or "").strip().splitlines()[:1]
    described = {"description": summary[0]} if summary else {}
    settings = _inlined(member.model_json_schema())
    forms: list[dict[str, Any]] = [
        {"type": "object", "properties": {name: settings}, "required": [name], "additionalProperties": False}
    ]
    if not member.required():
        forms.insert(0, {"const": name, **described})
    return forms


def _inlined(schema: Any, definitions: dict[str, Any] | None = None) -> Any:
    """The schema with every reference replaced by its definition, so that it can be nested in another."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    known = {**(definitions or {}), **schema.get("$defs", {})}
    if "$ref" in schema:
        named = known[schema["$ref"].rsplit("/", 1)[-1]]
        schema = {**named, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {key: _inlined(value, known) for key, value in schema.items() if key != "$defs"}
