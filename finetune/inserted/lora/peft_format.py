"""PEFT's format on disk: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.checkpoint.guard import read_object
from compress.core.errors import InputError
from compress.core.files import write_whole
from compress.core.model.bundle import Bundle
from finetune.inserted.lora.adaptive import InsertAdalora
from finetune.inserted.lora.insertion import ADAPTER, PeftInsertion, inserted_layers, inserted_names, is_inserted
from finetune.parameters.names import head_names

__all__ = ["CONFIG", "TENSORS", "expressible", "move_base", "named_base", "read", "write"]

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
BASE = "base_model_name_or_path"
PREFIX = "base_model.model."
TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}
"""End of a model's class -> PEFT's word for its task; PEFT has none for images, and opens them without."""


def expressible(bundle: Bundle) -> bool:
    """Whether PEFT's format holds all that was tuned: one PEFT insertion, and beside it whole modules (the head)."""
    return bool(inserted_names(bundle.model)) and _modules(bundle.model, _beside(bundle)) is not None


def write(bundle: Bundle, insertion: PeftInsertion, directory: Path | str, *, base: str) -> Path:
    """Write the tuned parameters into `directory` (made if missing), so that PEFT opens it; returns the directory.

    `PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base), directory)` gives the same
    logits. The tensors are those of `bundle.tuned`, or the inserted ones and the head where the bundle has none.

    Args:
        bundle: a model with `insertion` in it.
        insertion: the one that was made.
        directory: receives `adapter_config.json` and `adapter_model.safetensors`.
        base: a hub id or directory of the base, for `base_model_name_or_path`.

    Raises:
        InputError: beside the insertion, parts of modules were tuned, which PEFT cannot express.
    """
    from safetensors.torch import save_file

    beside = _beside(bundle)
    modules = _modules(bundle.model, beside)
    if modules is None:
        raise InputError("PEFT's format has no word for parts of modules that are tuned beside an adapter")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    task = next((word for end, word in TASKS.items() if type(bundle.model).__name__.endswith(end)), None)
    layers = inserted_layers(bundle.model)
    linears = {path: layer.base_layer for path, layer in layers.items()}
    config: Any = insertion.config(
        bundle, linears, task_type=task, modules_to_save=modules or None, base_model_name_or_path=base,
        inference_mode=True,
    )  # fmt: skip
    # A linear that is stored in few bits was transposed before that, and the reader's base is not stored so.
    config.fan_in_fan_out |= any(getattr(linear, "transposed", False) for linear in linears.values())
    if isinstance(insertion, InsertAdalora) and insertion.ranks:
        config.rank_pattern = _rank_pattern(insertion, layers)
    config.save_pretrained(str(directory))
    state = bundle.model.state_dict()
    names = inserted_names(bundle.model) | beside
    tensors = {PREFIX + _peft_name(name): state[name].detach().cpu().clone().contiguous() for name in sorted(names)}
    save_file(tensors, directory / TENSORS, metadata={"format": "pt"})
    return directory


def read(directory: Path | str) -> dict[str, Tensor]:
    """The tensors of a directory that `write` or PEFT wrote, under the names that our model has for them.

    Raises:
        InputError: there is no adapter in PEFT's format.
    """
    from safetensors.torch import load_file

    path = Path(directory) / TENSORS
    if not path.is_file():
        raise InputError(f"the directory holds no adapter in PEFT's format: it has no {TENSORS}", given=str(directory))
    return {_own_name(name.removeprefix(PREFIX)): tensor for name, tensor in load_file(path).items()}


def move_base(directory: Path, *, base: str) -> None:
    """Record a new place of the base in `adapter_config.json`; nothing is written where it is there already.

    Args:
        directory: of the adapter.
        base: a hub id, or an absolute path.

    Raises:
        InputError: the configuration cannot be read.
    """
    config = _config(directory)
    if config.get(BASE) != base:
        write_whole(directory / CONFIG, json.dumps(config | {BASE: base}, indent=2, sort_keys=True))


def named_base(directory: Path) -> str | None:
    """The place of the base in `adapter_config.json`.

    Raises:
        InputError: the configuration cannot be read.
    """
    return _config(directory).get(BASE)


def _config(directory: Path) -> dict[str, Any]:
    if not (directory / CONFIG).is_file():
        raise InputError("the adapter's configuration is not there", given=str(directory / CONFIG))
    return read_object(directory / CONFIG)


def _beside(bundle: Bundle) -> frozenset[str]:
    """Names of the tensors that were tuned beside what was inserted."""
    names = bundle.tuned.names if bundle.tuned else head_names(bundle)
    return frozenset(names) - inserted_names(bundle.model)


def _modules(model: nn.Module, names: Iterable[str]) -> list[str] | None:
    """Paths of the largest modules that hold these parameters and no others; None where none does."""
    left, found = set(names), []
    for path, module in model.named_modules():
        held = {f"{path}.{name}" for name, _ in module.named_parameters()}
        if path and held and held <= left:
            found.append(path)
            left -= held
    return None if left else found


def _peft_name(name: str) -> str:
    """`...lora_A.default.weight` -> `...lora_A.weight`; DoRA's norms lose their `.weight`, as in PEFT's files."""
    if not is_inserted(name):
        return name
    return name.replace(f".{ADAPTER}", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def _own_name(name: str) -> str:
    """The inverse of `_peft_name`."""
    parts = name.split(".")
    marked = [number for number, part in enumerate(parts) if is_inserted(part)]
    if not marked:
        return name
    parts.insert(marked[-1] + 1, ADAPTER)
    return ".".join(parts) + (".weight" if parts[marked[-1]] == "lora_magnitude_vector" else "")


def _rank_pattern(insertion: InsertAdalora, layers: dict[str, Any]) -> dict[str, list[bool]]:
    """For PEFT: which of the first triplets of each layer are left. They lie first here, whichever they were."""
    ranks = {path: int(layer.lora_E[ADAPTER].shape[0]) for path, layer in layers.items()}
    return {f"{path}.lora_E": torch.lt(torch.arange(insertion.rank), rank).tolist() for path, rank in ranks.items()}
