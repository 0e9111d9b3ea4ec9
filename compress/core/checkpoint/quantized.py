"""bitsandbytes' linears in a directory of transformers: what its configuration says, and what opening it left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.low_bit.eight_bit import THRESHOLD, eight_bit_of
from compress.core.low_bit.four_bit import FourBit, four_bit_of
from compress.core.low_bit.linear import HalfLinear, StoredLinear
from compress.core.low_bit.package import bitsandbytes
from compress.core.model.linears import is_linear
from compress.core.model.low_bit import storage_of, store, stored_linears
from compress.core.model.wrapping import put

__all__ = ["adopt", "file_state", "foreign", "half_paths", "misread", "put_on_meta", "quantization_config"]

LEFT_BY_LOADING = (
    "hf_quantizer",
    "quantization_method",
    "is_quantized",
    "is_loaded_in_4bit",
    "is_loaded_in_8bit",
    "hf_device_map",
)
"""Attributes of a model."""


def quantization_config(model: nn.Module) -> dict[str, Any] | None:
    """`quantization_config` of a model whose linears bitsandbytes stores; None where it stores none.

    Every module that is not stored so is listed under `llm_int8_skip_modules`: by its path, and by its path in the base
    model, as whoever opens that alone sees it.

    Raises:
        StageFailed: the list would leave out a linear that is stored, or quantize one that is not.
    """
    storage = storage_of(model)
    if storage in ("fp32", "bf16"):
        return None
    from transformers import BitsAndBytesConfig

    skipped = sorted(_skipped(model))
    _check(model, skipped)
    if storage == "int8":
        how: dict[str, Any] = {"load_in_8bit": True, "llm_int8_threshold": THRESHOLD}
    else:
        double = next(iter(stored_linears(model).values())).doubled
        how = {"load_in_4bit": True, "bnb_4bit_quant_type": storage, "bnb_4bit_use_double_quant": double}
    return BitsAndBytesConfig(llm_int8_skip_modules=skipped, **how).to_dict()


def file_state(model: nn.Module) -> dict[str, Tensor]:
    """The state as a directory of the stock model holds it: what is bf16 here lies there as the stock linear does."""
    state = model.state_dict()
    for path, linear in stored_linears(model).items():
        if isinstance(linear, HalfLinear) and linear.transposed:
            state[f"{path}.weight"] = state[f"{path}.weight"].T.contiguous()
    return state


def half_paths(model: nn.Module) -> list[str]:
    """Paths of the linears that are stored in bf16."""
    return sorted(path for path, linear in stored_linears(model).items() if isinstance(linear, HalfLinear))


def misread(model: nn.Module) -> list[str]:
    """Paths of the linears that bitsandbytes' own code, which plain `from_pretrained` runs, gets wrong on some CPUs.

    Its kernel for AVX-512 (0.50) takes the scale of another block where a row of a 4-bit matrix is a multiple of 16 but
    not of 64 long. Ours reads a matrix as one row, and is right; so is a GPU's.
    """
    found = {path: linear for path, linear in stored_linears(model).items() if isinstance(linear, FourBit)}
    return [path for path, linear in found.items() if linear.in_features % linear.block]


def adopt(model: Any, half: Iterable[str] = ()) -> None:
    """Make a model that transformers opened what it was when it was saved, in place.

    bitsandbytes' linears become ours, those at the paths `half` are stored in bf16, and the marks by which transformers
    knows a quantized model are taken off, so that it can be trained, moved and saved like any other.
    """
    store(model, [model.get_submodule(path) for path in half], "bf16")
    if getattr(model.config, "quantization_config", None) is None:
        return
    kinds = {bitsandbytes().nn.Linear4bit: four_bit_of, bitsandbytes().nn.Linear8bitLt: eight_bit_of}
    for module in [module for module in model.modules() if type(module) in kinds]:
        put(model, module, _adopted(module, kinds[type(module)]))
    del model.config.quantization_config
    for name in LEFT_BY_LOADING:
        vars(model).pop(name, None)
    # What was done to the names in the file is undone when it is written again; what made weights of them cannot be.
    model._weight_conversions = [c for c in getattr(model, "_weight_conversions", None) or () if not _unpacks(c)]


def foreign(config: Any) -> str | None:
    """The package that quantized, by a `quantization_config`, where it is not bitsandbytes."""
    given = config if isinstance(config, dict) else config.to_dict()
    method = given.get("quant_method", "bitsandbytes")
    name = str(getattr(method, "value", method))
    return None if name == "bitsandbytes" else name


def put_on_meta(model: Any, half: Iterable[str] = ()) -> None:
    """`adopt` for a model on the meta device: its linears become what its `quantization_config` says, in place."""
    given = getattr(model.config, "quantization_config", None)
    if given is not None:
        bitsandbytes()
        from transformers import BitsAndBytesConfig
        from transformers.integrations import replace_with_bnb_linear

        config = BitsAndBytesConfig.from_dict(copy.deepcopy(given)) if isinstance(given, dict) else given
        kept = [*(config.llm_int8_skip_modules or ()), *(getattr(model, "_keep_in_fp32_modules", None) or ())]
        replace_with_bnb_linear(model, kept, config, pre_quantized=True)
    adopt(model, half)


def _unpacks(conversion: Any) -> bool:
    operations = getattr(conversion, "operations", None) or ()
    return any(type(operation).__module__ == "transformers.integrations.bitsandbytes" for operation in operations)


def _adopted(theirs: Any, ours_of: Callable[[Any], Any]) -> Any:
    from transformers.pytorch_utils import Conv1D

    if theirs.bias is not None:
        theirs.bias.requires_grad_(True)
    ours = ours_of(theirs)
    ours.transposed = issubclass(getattr(theirs, "source_cls", nn.Linear), Conv1D)
    return ours.train(theirs.training)


def _skipped(model: nn.Module) -> set[str]:
    """The topmost modules that hold a linear but none that is stored."""
    held = set(stored_linears(model))
    holders = {path[:end] for path in held for end in range(len(path)) if path[end] == "."} | held
    top: set[str] = set()
    for path, module in model.named_modules(remove_duplicate=False):
        above = path.rpartition(".")[0]
        if path and path not in holders and (above in holders or not above) and _has_linear(module):
            top.add(path)
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    return top | {path.removeprefix(prefix) for path in top}


def _has_linear(module: nn.Module) -> bool:
    return any(is_linear(inner) for inner in module.modules())


def _check(model: nn.Module, skipped: list[str]) -> None:
    from transformers.quantizers.quantizers_utils import should_convert_module

    kept = [*skipped, *(getattr(model, "_keep_in_fp32_modules", None) or ())]
    for path, module in model.named_modules():
        if is_linear(module) and should_convert_module(path, kept) != isinstance(module, StoredLinear):
            raise StageFailed(
                "the names of the linears do not tell which are quantized, so no directory can", given=path
            )
