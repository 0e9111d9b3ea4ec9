"""Layer maps: which layers a student copies, and which layer of the teacher each of its layers is matched with."""

from __future__ import annotations

from itertools import pairwise

from compress.core.errors import InputError

__all__ = ["evenly_spaced", "kept_layers", "matched_layers"]


def evenly_spaced(count: int, of: int) -> tuple[int, ...]:
    """Evenly spaced layers: `count` of `of`, the first and the last among them.

    Layer i of the student copies layer round(i (of - 1) / (count - 1)), halves to the even neighbour. 6 of 12 gives
    DistilBERT's choice; a single layer is the first one, which was trained on the output of the embeddings.

    Args:
        count: layers of the student, from 1 to `of`.
        of: layers of the model that is copied.

    Example:
        >>> evenly_spaced(6, 12)
        (0, 2, 4, 7, 9, 11)
        >>> evenly_spaced(3, 6)
        (0, 2, 5)

    References:
        Sanh et al. 2019, arXiv 1910.01108, section 3.
    """
    if count == 1:
        return (0,)
    return tuple(round(i * (of - 1) / (count - 1)) for i in range(count))


def kept_layers(layers: int | tuple[int, ...] | None, of: int) -> tuple[int, ...]:
    """The layers that a student copies from a model with `of` layers.

    Args:
        layers: how many, or exactly which (rising, from 0), or None for every other one.
        of: layers of the model that is copied.

    Raises:
        InputError: more layers than there are, or indices that do not rise or do not exist.
    """
    if layers is None:
        return evenly_spaced(max(1, (of + 1) // 2), of)
    if isinstance(layers, int):
        if layers > of:
            raise InputError(f"a student of {layers} layers cannot be copied from a model of {of}", given=layers)
        return evenly_spaced(layers, of)
    rising = all(before < after for before, after in pairwise(layers))
    if not layers or not rising or layers[0] < 0 or layers[-1] >= of:
        advice = f"give rising indices from 0 to {of - 1}, or how many"
        raise InputError(f"these are not layers of a model of {of}", given=list(layers), advice=advice)
    return layers


def matched_layers(student: int, teacher: int) -> tuple[int, ...]:
    """Uniform layer map: for each layer of the student, the layer of the teacher that its hidden states are matched to.

    The teacher's depth is cut into equal shares, and the student's layer j is matched with the last layer of share j:
    round((j + 1) teacher / student) - 1, halves up; TinyBERT's uniform map where the depths divide.

    Args:
        student: its number of layers, from 1 on.
        teacher: its number of layers.

    Example:
        >>> matched_layers(3, 6)
        (1, 3, 5)

    References:
        Jiao et al. 2020, arXiv 1909.10351, section 3.1.
    """
    return tuple(max(0, (2 * (j + 1) * teacher + student) // (2 * student) - 1) for j in range(student))
