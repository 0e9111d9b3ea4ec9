"""Saving and loading bundles: a directory in Hugging Face's layout, with the history of the model's changes.

`config.json`, `model.safetensors`, the tokenizer, and `trimformer.json` (changes, states, shapes of the masks);
masked weights lie in `model.safetensors` as bits and values; `masks.safetensors` holds the masks of those that are
stored in fewer bits; `changed.py` lies beside where no stock class fits.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from compress.core.checkpoint.architecture import Difference, difference_to_stock, write_config
from compress.core.checkpoint.compact import write_compact
from compress.core.checkpoint.config import remarks
from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.masks import check_masks, read_masks, write_masks
from compress.core.checkpoint.open import open_model, quiet
from compress.core.checkpoint.processor import open_processor
from compress.core.checkpoint.quantized import file_state, half_paths
from compress.core.checkpoint.reconcile import reconciled
from compress.core.checkpoint.record import HALF, RECORD, history
from compress.core.checkpoint.resolve import Checkpoint, fingerprint, resolve
from compress.core.families.family import family_of
from compress.core.model.bundle import Bundle
from compress.core.model.masks import compactable
from compress.core.model.sharing import shared_twice
from compress.core.model.state import known_states

__all__ = ["description_bytes", "fingerprint", "load", "load_source", "resolve", "save"]


def save(bundle: Bundle, directory: Path | str) -> Path:
    """Write `bundle` into `directory` (made if missing, files of the same names are replaced).

    A model that a stock architecture can express opens with plain `from_pretrained`; any other with
    `from_pretrained(..., trust_remote_code=True)`, and raises without it. Both open with `load`. Linears that are
    quantized by bitsandbytes are saved packed, with a `quantization_config`; those in bf16 are saved in bf16, and plain
    `from_pretrained` converts them to fp32.

    Args:
        bundle: the model, its tokenizer, masks and changes.
        directory: where to write.

    Returns:
        The directory.

    Raises:
        StageFailed: the model has parameters that its stock class lacks.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    compact = compactable(bundle.model, bundle.masks)
    difference = difference_to_stock(bundle.model, bundle.family, compact=compact)
    with quiet():
        model: Any = bundle.model
        original = not any(difference.values())
        twice = shared_twice(model, bundle.family)
        state = {name: tensor for name, tensor in file_state(model).items() if name not in twice}
        model.save_pretrained(directory, state_dict=state, save_original_format=original)
        if bundle.processor is not None:
            bundle.processor.save_pretrained(directory)
    if compact:
        write_compact(directory, {name: bundle.masks[name] for name in compact})
    write_masks({name: mask for name, mask in bundle.masks.items() if name not in compact}, directory)
    _describe(bundle, directory, difference)
    return directory


def description_bytes(bundle: Bundle) -> int:
    """Bytes of the files that `save` writes beside weights, masks and tokenizer; the model needs no weights.

    Raises:
        StageFailed: the model has parameters that its stock class lacks.
    """
    compact = compactable(bundle.model, bundle.masks)
    with TemporaryDirectory() as directory:
        _describe(bundle, Path(directory), difference_to_stock(bundle.model, bundle.family, compact=compact))
        return sum(file.stat().st_size for file in Path(directory).iterdir())


def _describe(bundle: Bundle, directory: Path, difference: Difference) -> None:
    """Write the configuration, the code that it needs, and the record."""
    write_config(bundle.model, directory, difference)
    record = {
        "format": 1,
        "changes": [change.data() for change in bundle.changes],
        "states": sorted(bundle.states),
        "masks": {path: list(mask.shape) for path, mask in sorted(bundle.masks.items())},
        **({"fresh": sorted(bundle.fresh)} if bundle.fresh else {}),
        **({HALF: half} if (half := half_paths(bundle.model)) else {}),
    }
    (directory / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def load(directory: Path | str, *, device: torch.device | str = "cpu") -> Bundle:
    """The bundle that `save` wrote (or any directory that `save_pretrained` wrote), in evaluation mode.

    Args:
        directory: of the model.
        device: of model and masks.

    Raises:
        InputError: there is no such directory, no model in it, it is damaged, or its file lacks tensors of the model,
            or holds others that the model has no use for.
    """
    checkpoint = Checkpoint.at(Path(directory))
    model, loaded = open_model(checkpoint)
    record = checkpoint.record
    masks = read_masks(checkpoint.found, record, device)
    check_masks(masks, model, given=checkpoint.name)
    processor = open_processor(checkpoint.found, model.config)
    reconciled(processor, model.config, family_of(model.config.model_type))
    return Bundle(
        model.to(device).eval(),
        processor,
        history(record),
        known_states(record.get("states", ())),
        masks,
        (*loaded.notes, *remarks(checkpoint)),
        frozenset(record.get("fresh", ())),
    )
