"""Masks in a model's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.core.masks import Masks, pack, unpack

__all__ = ["FILE", "read_masks", "write_masks"]

FILE = "masks.safetensors"


def write_masks(masks: Mapping[str, Tensor], directory: Path) -> None:
    """Write the masks as packed bits; nothing is left of those that lay there."""
    from safetensors.torch import save_file

    (directory / FILE).unlink(missing_ok=True)
    if masks:
        save_file({name: pack(mask) for name, mask in masks.items()}, directory / FILE)


def read_masks(directory: Path, record: Mapping[str, Any], device: torch.device | str = "cpu") -> Masks:
    """The masks of a directory whose record has their shapes under `masks`."""
    shapes: Mapping[str, list[int]] = record.get("masks", {})
    if not shapes:
        return {}
    from safetensors.torch import load_file

    packed = load_file(directory / FILE)
    return {name: unpack(packed[name], shape).to(device) for name, shape in shapes.items()}
