"""Ids of a recipe's stages: in the report, after `start:`, and after `--set stages.`. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from compress.core.errors import InputError, UnknownName

__all__ = ["SOURCE", "by_index", "stage_entry", "stage_ids"]

SOURCE = "source"


def stage_ids(named: Iterable[tuple[str, str | None]]) -> list[str]:
    """The id of every stage: the one that it is given, else its name, then `name-2`, `name-3`.

    Args:
        named: (name, given id or None) of each stage, in the order of the recipe.
    """
    stages = list(named)
    taken = {SOURCE, *(given for _, given in stages if given)}
    ids = []
    for name, given in stages:
        id, count = given or name, 1
        while not given and id in taken:
            count += 1
            id = f"{name}-{count}"
        taken.add(id)
        ids.append(id)
    return ids


def stage_entry(stage: Any) -> tuple[str, dict[str, Any]]:
    """Name and settings of a stage in plain data, which may be its name alone; ("", {}) where it is no stage."""
    if isinstance(stage, dict) and len(stage) == 1:
        name, settings = next(iter(stage.items()))
        return str(name), settings if isinstance(settings, dict) else {}
    return (stage, {}) if isinstance(stage, str) else ("", {})


def by_index(recipe: Any, parts: Sequence[str]) -> tuple[str, ...]:
    """Path of a setting with a stage's index and name in place of its id.

    `stages.half.sparsity` is `stages.2.prune.sparsity`. A path that has an index already, or is of another part of the
    recipe, stays as it is.

    Args:
        recipe: plain data.
        parts: the words between the dots; an id may have dots itself.

    Raises:
        UnknownName: no stage has this id.
        InputError: two stages have it.
    """
    stages = recipe.get("stages") if isinstance(recipe, dict) else None
    if len(parts) < 2 or parts[0] != "stages" or not isinstance(stages, list | tuple):
        return tuple(parts)
    entries = [stage_entry(stage) for stage in stages]
    ids = stage_ids((name, str(settings.get("id") or "")) for name, settings in entries)
    if parts[1].isdigit() and (int(parts[1]) < len(stages) or parts[1] not in ids):
        return tuple(parts)
    words = _id_in(parts[1:], ids)
    index, rest = ids.index(".".join(parts[1 : 1 + words])), parts[1 + words :]
    name = entries[index][0]
    return ("stages", str(index), *((name,) if rest and rest[0] != name else ()), *rest)


def _id_in(parts: Sequence[str], ids: list[str]) -> int:
    """How many of the words that `parts` begin with are an id."""
    for count in range(len(parts), 0, -1):
        id = ".".join(parts[:count])
        if ids.count(id) > 1:
            raise InputError(f"two stages have the id {id!r}", advice="name the stage by its index, counted from 0")
        if id in ids:
            return count
    raise UnknownName("stage id", parts[0], ids)
