"""For a tiny bundle of any family: what to keep, and the same cut as zeros in the full model."""

from __future__ import annotations

from compress.core.families.family import Family, base_model
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import matrix
from compress.core.surgery.heads_and_neurons import neuron_counts

__all__ = ["SOME_WIDTH", "gate", "some_heads", "some_layers", "some_neurons"]

SOME_WIDTH = tuple(number for number in range(32) if number % 3)
"""Of a tiny model's hidden dimension, a number of entries that its heads do not divide."""
Kept = tuple[tuple[int, ...], ...]


def some_heads(bundle: Bundle) -> Kept:
    """Different heads and different numbers of them in each block, where the family allows that."""
    stacks = bundle.sketch().head_stacks
    some = ((1, 3), (0, 2, 3), (2,), (0, 1, 2, 3))
    if bundle.family.one_set_of_heads:
        return tuple(some[sorted(set(stacks)).index(stack)] for stack in stacks)
    return tuple(some[number % 4] for number in range(len(stacks)))


def some_neurons(bundle: Bundle) -> Kept:
    counts = neuron_counts(bundle.model, bundle.family)
    return tuple(tuple(range(number % 3, count, 2 + number % 2)) for number, count in enumerate(counts))


def some_layers(family: Family) -> tuple[int, ...]:
    return (0, 2) if family.needs_first_layer else (1, 3)


def gate(bundle: Bundle, role: str, kept: Kept) -> None:
    """Zero what the linear of `role` (`output`, `down`) takes from every unit that is not kept."""
    config = base_model(bundle.model).config
    for (block, record), units in zip(bundle.family.groups(bundle.model, role), kept):
        size = record.head_size(config) if role == "output" else 1
        weight = matrix(record.part(block, role)).data
        for unit in set(range(weight.shape[1] // size)) - set(units):
            weight[:, unit * size : (unit + 1) * size] = 0
