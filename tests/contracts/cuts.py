"""For a tiny bundle of any family: what to keep, and the same cut as zeros in the full model."""

from __future__ import annotations

from compress.core.bundle import Bundle
from compress.core.families.family import Family, base_model
from compress.core.heads import head_counts, neuron_counts
from compress.core.matrix import matrix

__all__ = ["gate", "some_heads", "some_layers", "some_neurons"]

Kept = tuple[tuple[int, ...], ...]


def some_heads(bundle: Bundle) -> Kept:
    """Different heads and different numbers of them in each block, where the family allows that."""
    counts = head_counts(bundle.model, bundle.family)
    if bundle.family.one_set_of_heads:
        return tuple((1, 3) for _ in counts)
    return tuple(((1, 3), (0, 2, 3), (2,), (0, 1, 2, 3))[number % 4] for number in range(len(counts)))


def some_neurons(bundle: Bundle) -> Kept:
    counts = neuron_counts(bundle.model, bundle.family)
    return tuple(tuple(range(number % 3, count, 2 + number % 2)) for number, count in enumerate(counts))


def some_layers(family: Family) -> tuple[int, ...]:
    return (0, 2) if family.needs_first_layer else (1, 3)


def gate(bundle: Bundle, role: str, kept: Kept) -> None:
    """Zero what the linear of `role` (`output`, `down`) takes from every unit that is not kept."""
    size = bundle.family.head_size(base_model(bundle.model).config) if role == "output" else 1
    for linear, units in zip(bundle.family.block_parts(bundle.model, role), kept):
        weight = matrix(linear).data
        for unit in set(range(weight.shape[1] // size)) - set(units):
            weight[:, unit * size : (unit + 1) * size] = 0
