"""Bundles on disk: a directory in Hugging Face's layout that also says how the model came to be.

`config.json`, `model.safetensors`, the tokenizer, and `trimformer.json` (changes, states, shapes of the masks);
`masks.safetensors` holds the masks as packed bits; `changed.py` lies beside where no stock class fits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.history import HALF, RECORD, history, read_record
from compress.core.loading import load_source
from compress.core.opening import open_model, open_processor, quiet
from compress.core.sharing import shared_twice
from compress.core.source import fingerprint, resolve
from compress.core.stock import difference_to_stock, write_config
from compress.core.storage.stock import file_state, half_paths

__all__ = ["fingerprint", "load", "load_source", "resolve", "save"]

MASKS = "masks.safetensors"


def save(bundle: Bundle, directory: Path | str) -> Path:
    """Write `bundle` into `directory` (made if missing, files of the same names are replaced); gives the directory.

    A model that a stock architecture can express opens with plain `from_pretrained`; any other with
    `from_pretrained(..., trust_remote_code=True)`, and raises without it. Both open with `load`. Linears that
    bitsandbytes stores lie there packed, and the configuration says so; those in bf16 lie there in bf16, and plain
    `from_pretrained` makes them fp32 with the same values.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    difference = difference_to_stock(bundle.model, bundle.family)
    with quiet():
        model: Any = bundle.model
        original = not any(difference.values())
        twice = shared_twice(model, bundle.family)
        state = {name: tensor for name, tensor in file_state(model).items() if name not in twice}
        model.save_pretrained(directory, state_dict=state, save_original_format=original)
        if bundle.processor is not None:
            bundle.processor.save_pretrained(directory)
    write_config(bundle.model, directory, difference)
    _write_masks(bundle.masks, directory)
    record = {
        "format": 1,
        "changes": [change.data() for change in bundle.changes],
        "states": sorted(bundle.states),
        "masks": {path: list(mask.shape) for path, mask in sorted(bundle.masks.items())},
        **({"fresh": sorted(bundle.fresh)} if bundle.fresh else {}),
        **({HALF: half} if (half := half_paths(bundle.model)) else {}),
    }
    (directory / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return directory


def load(directory: Path | str, *, device: torch.device | str = "cpu") -> Bundle:
    """The bundle that `save` wrote (or any directory that `save_pretrained` wrote), in evaluation mode.

    Raises:
        InputError: there is no such directory, or no model in it.
    """
    directory = Path(directory)
    model = open_model(directory)
    record = read_record(directory)
    return Bundle(
        model.to(device).eval(),
        open_processor(directory, model.config),
        history(record),
        frozenset(record.get("states", ())),
        _read_masks(directory, record.get("masks", {}), device),
        fresh=frozenset(record.get("fresh", ())),
    )


def _write_masks(masks: dict[str, Tensor], directory: Path) -> None:
    from safetensors.torch import save_file

    (directory / MASKS).unlink(missing_ok=True)
    if masks:
        packed = {path: np.packbits(mask.cpu().numpy().reshape(-1)) for path, mask in masks.items()}
        save_file({path: torch.from_numpy(bits) for path, bits in packed.items()}, directory / MASKS)


def _read_masks(directory: Path, shapes: dict[str, list[int]], device: torch.device | str) -> dict[str, Tensor]:
    if not shapes:
        return {}
    from safetensors.torch import load_file

    packed = load_file(directory / MASKS)
    return {path: _unpacked(packed[path], shape).to(device) for path, shape in shapes.items()}


def _unpacked(bits: Tensor, shape: list[int]) -> Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(bool)).reshape(shape)
