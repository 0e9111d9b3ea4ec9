"""Catalogue of every stage, set of choices, family and recipe, found by importing the modules that define them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from compress.core.choice import Choice, snake_case
from compress.core.errors import InputError, UnknownName
from compress.core.names import close_names
from recipes.file.locate import field_type, is_set, keys, settings_inside
from recipes.file.yaml import book

__all__ = ["FAMILIES", "RECIPES", "SETTINGS", "Entry", "entries", "find_entries", "import_stages", "kinds", "sets"]

FAMILIES, RECIPES, SETTINGS = "families", "recipes", "settings"


@dataclass(frozen=True)
class Entry:
    """Catalogue entry: a member of a set, a model family, a recipe of the book, or the settings under a key."""

    kind: str
    name: str
    summary: str
    home: str
    what: Any
    """The class of a member or of settings, the record of a family, or the file of a recipe."""


@cache
def import_stages() -> None:
    """Import every module called `stage` in the packages below `compress` and `finetune`."""
    for package in ("compress", "finetune"):
        root = importlib.import_module(package)
        names = [package, *(f"{package}.{m.name}" for m in pkgutil.iter_modules(root.__path__) if m.ispkg)]
        for name in names:
            if name != "compress.core" and importlib.util.find_spec(f"{name}.stage"):
                importlib.import_module(f"{name}.stage")


@cache
def sets() -> dict[str, type[Choice]]:
    """Sets of choices that a recipe, or a value inside one, has a key for: kind (`criteria`) -> set, sorted by kind."""
    found = {kind.plural or f"{snake_case(kind.__name__)}s": kind for _, kind in _inside() if is_set(kind)}
    return dict(sorted(found.items()))


@cache
def _inside() -> tuple[tuple[str, type[BaseModel]], ...]:
    """(key, settings class or set of choices) of everything that a recipe, or a value inside one, has a key for."""
    from recipes.file.recipe import Recipe

    found: dict[tuple[str, type[BaseModel]], None] = {}
    seen: set[type[BaseModel]] = {Recipe}
    waiting: list[type[BaseModel]] = [Recipe]
    while waiting:
        fields = keys(waiting.pop())
        inside = [(key, inner) for key, field in fields.items() for inner in settings_inside(field_type(field))]
        found.update(dict.fromkeys(inside))
        for inner in {inner for _, inner in inside} - seen:
            seen.add(inner)
            waiting.append(inner)
            if is_set(inner):
                waiting.extend(inner.members().values())
    return tuple(found)


def kinds() -> tuple[str, ...]:
    """Every kind that `trimformer list` knows, sorted."""
    return tuple(sorted([*sets(), FAMILIES, RECIPES]))


def entries(kind: str) -> list[Entry]:
    """Entries of one kind, sorted by name.

    Raises:
        UnknownName: there is no such kind; with the near one.
    """
    if kind not in kinds():
        raise UnknownName("kind", kind, kinds())
    if kind == FAMILIES:
        return _families()
    if kind == RECIPES:
        return [Entry(kind, name, _comment(file), str(file), file) for name, file in book().items()]
    members = sets()[kind].members()
    return [Entry(kind, name, _summary(found), found.__module__, found) for name, found in members.items()]


def find_entries(name: str) -> list[Entry]:
    """Entries of any kind with a given name, and settings that stand under a key of that name (`train`, `budget`).

    Raises:
        InputError: nothing is; with the near name, where there is one.
    """
    everything = [*(entry for kind in kinds() for entry in entries(kind)), *_settings()]
    found = [entry for entry in everything if entry.name == name]
    if not found:
        known = {entry.name for entry in everything}
        if close_names(name, known):
            raise UnknownName("name", name, known)
        raise InputError(f"unknown name {name!r}", advice="`trimformer list` names what there is")
    return found


def _settings() -> list[Entry]:
    return [
        Entry(SETTINGS, key, _summary(found), found.__module__, found)
        for key, found in sorted(_inside(), key=lambda pair: pair[0])
        if not issubclass(found, Choice)
    ]


def _families() -> list[Entry]:
    from compress.core.families.family import families

    return [Entry(FAMILIES, name, _cuts(family), _home(family), family) for name, family in families().items()]


def _home(family: Any) -> str:
    """The module that holds the record."""
    from compress.core import families

    names = [f"{families.__name__}.{module.name}" for module in pkgutil.iter_modules(families.__path__)]
    return next(name for name in names if family in vars(importlib.import_module(name)).values())


def _cuts(family: Any) -> str:
    from compress.core.families.family import Part

    # Blocks are shared, not cut; the families' reasons against it stand in their refusals.
    parts = [part for part in get_args(Part) if part not in family.refusals and part != "blocks"]
    refused = [f"not {part}: {why}" for part, why in family.refusals.items()]
    return "; ".join([f"{', '.join(parts)} can be cut" if parts else "", *refused]).strip("; ")


def _comment(file: Any) -> str:
    """The first line of the comment that a recipe of the book starts with."""
    first = file.read_text("utf-8").split("\n", 1)[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def _summary(member: type[BaseModel]) -> str:
    return (inspect.getdoc(member) or "").split("\n", 1)[0]
