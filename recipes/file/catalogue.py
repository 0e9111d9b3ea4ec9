"""What there is: every stage and every set of choices, found by importing the modules that define them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any

from compress.core.choice import Choice, snake_case
from compress.core.errors import UnknownName
from recipes.file.yaml import book

__all__ = ["FAMILIES", "RECIPES", "Entry", "entries", "find_entries", "import_stages", "kinds", "sets"]

_IRREGULAR = {"criterion": "criteria", "during": "during"}
FAMILIES, RECIPES = "families", "recipes"
PARTS = ("heads", "neurons", "layers", "width", "vocabulary", "positions")


@dataclass(frozen=True)
class Entry:
    """One thing that can be named: a member of a set, a model family, or a recipe of the book."""

    kind: str
    name: str
    summary: str
    home: str
    what: Any
    """The class of a member, the record of a family, or the file of a recipe."""


@cache
def import_stages() -> None:
    """Import every module called `stage` in the packages below `compress` and `finetune`."""
    for package in ("compress", "finetune"):
        root = importlib.import_module(package)
        names = [package, *(f"{package}.{m.name}" for m in pkgutil.iter_modules(root.__path__) if m.ispkg)]
        for name in names:
            if name != "compress.core" and importlib.util.find_spec(f"{name}.stage"):
                importlib.import_module(f"{name}.stage")


def sets() -> dict[str, type[Choice]]:
    """Kind (`criteria`) -> set of choices, sorted by kind."""
    import_stages()
    for module in (
        "compress.prune.gradual.schedule",
        "finetune.tasks.task",
        "finetune.tasks.source",
        "recipes.measure.probe",
    ):
        importlib.import_module(module)
    return dict(sorted((_plural(found), found) for found in Choice.__subclasses__()))


def kinds() -> tuple[str, ...]:
    """Every kind that `trimformer list` knows, sorted."""
    return tuple(sorted([*sets(), FAMILIES, RECIPES]))


def entries(kind: str) -> list[Entry]:
    """All of one kind, sorted by name.

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
    """Everything called `name`, of any kind.

    Raises:
        UnknownName: nothing is; with the near name.
    """
    everything = [entry for kind in kinds() for entry in entries(kind)]
    found = [entry for entry in everything if entry.name == name]
    if not found:
        raise UnknownName("name", name, {entry.name for entry in everything})
    return found


def _families() -> list[Entry]:
    from compress.core.families.family import families

    return [Entry(FAMILIES, name, _cuts(family), _home(family), family) for name, family in families().items()]


def _home(family: Any) -> str:
    """The module that holds the record."""
    from compress.core import families

    names = [f"{families.__name__}.{module.name}" for module in pkgutil.iter_modules(families.__path__)]
    return next(name for name in names if family in vars(importlib.import_module(name)).values())


def _cuts(family: Any) -> str:
    parts = [part for part in PARTS if part not in family.refusals]
    refused = [f"not {part}: {why}" for part, why in family.refusals.items()]
    return "; ".join([f"{', '.join(parts)} can be cut" if parts else "", *refused]).strip("; ")


def _comment(file: Any) -> str:
    """The first line of the comment that a recipe of the book starts with."""
    first = file.read_text("utf-8").split("\n", 1)[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def _summary(member: type[Choice]) -> str:
    return (inspect.getdoc(member) or "").split("\n", 1)[0]


def _plural(found: type[Choice]) -> str:
    name = snake_case(found.__name__)
    return _IRREGULAR.get(name) or (f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s")
