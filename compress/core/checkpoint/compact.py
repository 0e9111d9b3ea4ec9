"""Compact storage of masked weights: a bit for each weight, and the values of the kept ones.

`NAME.bits` (uint8, eight weights to a byte, the first in the highest bit) and `NAME.values` (in the type of the weight,
row by row) stand in `model.safetensors` for `NAME`. The directory's own `bits.py` makes them dense.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from compress.core.errors import StageFailed
from compress.core.layers.bits import BITS, VALUES
from compress.core.model.masks import pack

__all__ = ["BITS", "VALUES", "WEIGHTS", "write_compact"]

WEIGHTS = "model.safetensors"


def write_compact(directory: Path, masks: Mapping[str, Tensor]) -> None:
    """Replace the dense weights in a directory's file by bits and values, in place.

    Args:
        directory: that `save_pretrained` wrote, with one file of weights.
        masks: name -> boolean tensor, of the weights that `compactable` names.

    Raises:
        StageFailed: the file lacks one, or a pruned weight is not zero.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = directory / WEIGHTS
    tensors: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        if missing := sorted(set(masks) - set(file.keys())):
            raise StageFailed("the file has no weight of this name, whose mask would be lost", given=missing[0])
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_tensor(name)
            tensors |= _packed(name, tensor, masks[name].cpu()) if name in masks else {name: tensor.clone()}
    save_file(tensors, path, metadata={"format": "pt"})


def _packed(name: str, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
    if torch.count_nonzero(weight[~mask]):
        raise StageFailed("weights under a mask are not zero, and would be lost in the file", given=name)
    return {name + BITS: pack(mask), name + VALUES: weight[mask].clone()}
