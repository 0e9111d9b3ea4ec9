"""Opening of models: configuration and weights of a checkpoint, and what was taken from them. Never remote code."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from compress.core.checkpoint.config import library, open_config
from compress.core.checkpoint.guard import guarded
from compress.core.checkpoint.loaded import Loaded, check_finite, judged
from compress.core.checkpoint.quantized import adopt, foreign, put_on_meta
from compress.core.checkpoint.resolve import Checkpoint
from compress.core.checkpoint.weights import find_weights, read_headers, read_tensors, shapes_on_meta
from compress.core.errors import InputError
from compress.core.families.family import family_of
from compress.core.low_bit.package import bitsandbytes
from compress.core.model.sharing import forget_block_ties

__all__ = ["model_class", "open_model", "open_shapes", "open_weights", "quiet"]

# transformers imports bitsandbytes where it is installed, and that complains of an optional kernel on stderr.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.CRITICAL)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it transformers shows no load report and no progress bars; errors pass."""
    from transformers.utils import logging as library

    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.ERROR)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()


def model_class(config: Mapping[str, Any]) -> Any:
    """The class that wrote the directory: transformers' own, or that of `changed`."""
    name = (config.get("architectures") or [""])[0]
    found = getattr(library(config.get("model_type", "")), name, None) if name else None
    if getattr(found, "config_class", None) is None:
        raise InputError("config.json names no model class of transformers", given=config.get("architectures"))
    return found


def open_model(checkpoint: Checkpoint) -> tuple[Any, Loaded]:
    """The model of a directory, in the data type of its file, on the CPU, in evaluation mode.

    Raises:
        InputError: as `open_config` and `open_weights`; no tensor may be missing.
    """
    config = open_config(checkpoint)
    found = model_class(checkpoint.config)
    if not isinstance(config, found.config_class):
        raise InputError(
            f"config.json names the class {found.__name__}, which is of another family than its model_type",
            given=checkpoint.config.get("model_type"),
            where=str(checkpoint.found / "config.json"),
        )
    return open_weights(checkpoint, found, config=config, dtype="auto")


def open_weights(
    checkpoint: Checkpoint, model_class: Any, *, config: Any, dtype: Any, heads: Collection[str] = ()
) -> tuple[Any, Loaded]:
    """A model with the weights of a checkpoint, from safetensors alone, on the CPU; and what was taken from them.

    Args:
        checkpoint: with the weights.
        model_class: of transformers, or of `changed`.
        config: as `open_config` gives it, with the fields of the task.
        dtype: of the weights; `auto` is that of the configuration, or of the file.
        heads: names of modules that the file may lack: they are initialized.

    Raises:
        InputError: there are no weights, only pickled ones, a file is damaged, they are quantized by another package
            than bitsandbytes, lack tensors, hold tensors that the model has no use for, or values that are no numbers.
    """
    checkpoint.fetch_weights()
    stored = read_headers(find_weights(checkpoint.found))
    tensors = read_tensors(stored, _compact(config))
    model, report = _built(model_class, config, tensors, given=checkpoint.name, dtype=dtype, **_for_quantized(config))
    loaded = judged(model, report, stored, heads=heads, given=checkpoint.name)
    _finish(model, checkpoint)
    return model, loaded


def open_shapes(
    checkpoint: Checkpoint, model_class: Any, *, config: Any, heads: Collection[str] = ()
) -> tuple[Any, Loaded | None]:
    """`open_weights` on the meta device: shapes alone. Without weights, or quantized ones, by the configuration.

    The values in the file are looked at, so that what a run would refuse is refused here.

    Args:
        checkpoint: with or without weights.
        model_class: of transformers, or of `changed`.
        config: as `open_config` gives it, with the fields of the task.
        heads: names of modules that the file may lack.
    """
    stored = read_headers(find_weights(checkpoint.found, needed=False))
    if stored and not _for_quantized(config):
        tensors, options = shapes_on_meta(stored, _compact(config)), {"device_map": {"": "meta"}}
        model, report = _built(model_class, config, tensors, given=checkpoint.name, dtype=torch.float32, **options)
        loaded = judged(model, report, stored, heads=heads, given=checkpoint.name)
        unused = set(report["unexpected_keys"])
        values = read_tensors(stored, _compact(config))
        check_finite({name: value for name, value in values.items() if name not in unused}, given=checkpoint.name)
        _unmark(model)
    else:
        loaded = None
        with guarded(_CANNOT.format(model_class.__name__), given=checkpoint.name), torch.device("meta"), quiet():
            model = model_class(config)
    forget_block_ties(model, family_of(config.model_type))
    with guarded("its linears are not stored as its configuration and record say", given=checkpoint.name):
        put_on_meta(model, checkpoint.half)
    return model, loaded


_CANNOT = "transformers cannot build a {} of this checkpoint"


def _built(model_class: Any, config: Any, tensors: dict[str, Any], *, given: str, **options: Any) -> tuple[Any, Any]:
    """The model and transformers' report; from tensors in memory, so that it opens no file that was not judged."""
    with guarded(_CANNOT.format(model_class.__name__), given=given), quiet():
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=tensors, ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
        model.config.name_or_path = given
    return model, report


def _finish(model: Any, checkpoint: Checkpoint) -> None:
    with guarded("its linears are not stored as its configuration and record say", given=checkpoint.name):
        adopt(model, checkpoint.half)
    _own(model)
    check_finite(model.state_dict(), given=checkpoint.name)
    forget_block_ties(model, family_of(model.config.model_type))


def _compact(config: Any) -> Mapping[str, Any]:
    record = getattr(config, "trimformer", None)
    return (record.get("compact") if isinstance(record, dict) else None) or {}


def _for_quantized(config: Any) -> dict[str, Any]:
    """Options of `from_pretrained` for quantized weights, which keep them on the CPU."""
    quantized = getattr(config, "quantization_config", None)
    if quantized is None:
        return {}
    method = foreign(quantized)
    if method:
        raise InputError(
            f"the weights are quantized by {method}, which cannot be trained or made dense here",
            advice="name the model that it was made of, or one that bitsandbytes quantized",
        )
    bitsandbytes()
    return {"device_map": {"": "cpu"}}


def _unmark(model: Any) -> None:
    """Remove what transformers notes on a model that it placed by a device map."""
    vars(model).pop("hf_device_map", None)


def _own(model: Any) -> None:
    """Copy the weights of `model` into their own memory, in place.

    Tensors that safetensors maps from the file are unaligned, which makes kernels slower and changes their last bits,
    and they change when the file does.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
