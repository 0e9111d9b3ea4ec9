"""Labels of a checkpoint's head and of a task: matched by name, and said where they cannot be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from compress.core.checkpoint.resolve import Checkpoint, Reference
from compress.core.errors import InputError, listed
from compress.core.families.family import base_model

__all__ = ["aligned", "by_place", "checkpoint_labels", "matching", "unlike_its_head"]

_UNNAMED = re.compile(r"LABEL_\d+")
_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")


def checkpoint_labels(reference: Reference) -> tuple[str, ...] | None:
    """The names that a checkpoint's configuration has for its labels, in their order; None where it has none.

    Args:
        reference: a hub id, a directory, or {package, path}.
    """
    try:
        found: Any = Checkpoint.at(reference).config.get("id2label")
        names = tuple(str(found[key]) for key in sorted(found, key=int))
    except (
        InputError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
    ):  # whoever opens it says what is wrong
        return None
    return None if _unnamed(names) else names


def matching(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, ...] | None:
    """The place among `theirs` of each of our labels, whatever their case and the blanks around them.

    None where they are not the same labels, or two of one side are alike.

    Args:
        ours: names.
        theirs: names.
    """
    mine, other = [_plain(name) for name in ours], [_plain(name) for name in theirs]
    if sorted(mine) != sorted(other) or len(set(mine)) < len(mine):
        return None
    return tuple(other.index(name) for name in mine)


def unlike_its_head(
    checkpoint: Checkpoint, own: tuple[str, ...], *, outputs: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A remark where `config.json` names more or fewer labels than the head has outputs; the names that count.

    Args:
        checkpoint: whose configuration may name labels.
        own: those names.
        outputs: of the model's head.
    """
    if len(own) == outputs:
        return (), own
    unnamed = tuple(f"LABEL_{number}" for number in range(outputs))
    if "id2label" not in checkpoint.config or _unnamed(own):
        return (), unnamed
    named = f"config.json names {len(own)} labels ({listed(own)})"
    return (f"{named}, and the head has {outputs} outputs: its names are not used",), unnamed


def aligned(model: nn.Module, *, own: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Sort the head's outputs to the task's labels and name them, in place; remarks for the user.

    The configuration keeps the checkpoint's names, unless those say nothing and the task's do. Labels that have no name
    in common are taken in their order, and a remark has both lists.

    Args:
        model: with a trained head.
        own: the checkpoint's labels, in the order of the head's outputs.
        asked: the task's, as many.
    """
    order = matching(asked, own)
    if order is not None:
        _name(model.config, [own[place] for place in order])
        return () if order == tuple(range(len(own))) else _sorted(model, own, order)
    if _unnamed(own):
        if asked == tuple(map(str, range(len(own)))):
            return ()
        return (
            f"the checkpoint does not name its labels ({listed(own)}): they are taken to be the data's, in this order: "
            f"{listed(asked)}",
        )
    numbers = all(_NUMBER.fullmatch(name) for name in asked)
    if numbers:
        _name(model.config, own)
    return (by_place(asked, own, kept=", with the names of the checkpoint" if numbers else ""),)


def by_place(asked: Sequence[str], own: Sequence[str], *, kept: str = "") -> str:
    """The remark on labels that have no name in common.

    Args:
        asked: the data's.
        own: the checkpoint's.
        kept: whose names stay, in words.
    """
    return (
        f"the data's labels ({listed(asked)}) and the checkpoint's ({listed(own)}) do not match by name, and are taken "
        f"in this order{kept}: list them in `labels:` where another is meant"
    )


def _sorted(model: Any, own: tuple[str, ...], order: tuple[int, ...]) -> tuple[str, ...]:
    base = set(base_model(model).modules())
    last = [m for m in model.modules() if isinstance(m, nn.Linear) and m not in base and m.out_features == len(own)][-1]
    for tensor in (last.weight, last.bias):
        if tensor is not None and tensor.device.type != "meta":
            tensor.data = tensor.data[torch.tensor(order)]
    return (f"the checkpoint has the labels in the order {listed(own)}: its head was sorted to the task's",)


def _name(config: Any, names: Sequence[str]) -> None:
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}


def _unnamed(names: Sequence[str]) -> bool:
    return all(_UNNAMED.fullmatch(name) for name in names)


def _plain(name: str) -> str:
    return name.strip().casefold()
