"""Opening model directories: configuration, model, tokenizer or image processor. Never remote code."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from compress.core.checkpoint.quantized import adopt, foreign
from compress.core.checkpoint.resolve import Checkpoint, find_weights, not_found, pickled_weights
from compress.core.errors import InputError
from compress.core.families.family import CHANGED_PREFIX, family_of
from compress.core.low_bit.package import bitsandbytes
from compress.core.model.sharing import forget_block_ties

__all__ = ["library", "model_class", "open_model", "open_processor", "open_weights", "owned", "quiet"]

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


def library(model_type: str) -> ModuleType:
    """The module whose classes open such a model: transformers, or `changed`, with classes of the same names."""
    import transformers

    from compress.core.layers import changed

    return changed if model_type.startswith(CHANGED_PREFIX) else transformers


def model_class(config: Mapping[str, Any]) -> Any:
    """The class that wrote the directory: transformers' own, or that of `changed`."""
    name = (config.get("architectures") or [""])[0]
    found = getattr(library(config.get("model_type", "")), name, None) if name else None
    if found is None:
        raise InputError("config.json names no model class of transformers", given=config.get("architectures"))
    return found


def open_model(checkpoint: Checkpoint) -> Any:
    """The model of a directory, in the data type of its file, on the CPU, in evaluation mode."""
    found = model_class(checkpoint.config)
    settings = found.config_class.from_pretrained(checkpoint.found)
    return open_weights(checkpoint, found, config=settings, dtype="auto")


def open_weights(checkpoint: Checkpoint, model_class: Any, **options: Any) -> Any:
    """`model_class.from_pretrained`, from safetensors alone; with `output_loading_info`, the report beside the model.

    Args:
        checkpoint: with the weights.
        model_class: of transformers, or of `changed`.
        options: of `from_pretrained`; `config` is one.

    Raises:
        InputError: there are no weights, only pickled ones, the file is damaged, or they are quantized by another
            package than bitsandbytes.
    """
    from safetensors import SafetensorError

    found = checkpoint.found
    if isinstance(found, Path):
        find_weights(found)
    options |= _for_quantized(options.get("config"))
    try:
        with quiet():
            opened = model_class.from_pretrained(found, use_safetensors=True, **options)
    except SafetensorError as error:
        raise InputError(f"the weights cannot be read, the file is damaged: {error}", given=str(found)) from error
    except OSError as error:
        missing = "safetensors" in str(error)
        raise (pickled_weights(str(found)) if missing else not_found(str(found), error)) from error
    model = opened[0] if isinstance(opened, tuple) else opened
    adopt(model, checkpoint.half)
    owned(model)
    forget_block_ties(model, family_of(model.config.model_type))
    return opened


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


def owned(model: Any) -> None:
    """Copy the weights of `model` into their own memory, in place.

    Tensors that safetensors maps from the file are unaligned, which makes kernels slower and changes their last bits,
    and they change when the file does.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def open_processor(directory: Path | str, config: Any = None) -> Any:
    """The tokenizer, or the image processor, or None where there is neither.

    Args:
        directory: of the model, or its hub id.
        config: of the model.
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    with quiet():
        if _has(directory, "preprocessor_config.json", "processor_config.json"):
            return AutoImageProcessor.from_pretrained(directory, config=config, trust_remote_code=False)
        if _has(directory, "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model"):
            return AutoTokenizer.from_pretrained(directory, config=config, trust_remote_code=False)
    return None


def _has(directory: Path | str, *names: str) -> bool:
    if Path(directory).is_dir():
        return any((Path(directory) / name).is_file() for name in names)
    from transformers.utils.hub import cached_file

    options = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    return any(cached_file(str(directory), name, **options) is not None for name in names)
