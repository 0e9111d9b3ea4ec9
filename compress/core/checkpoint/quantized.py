"""bitsandbytes' linears in a directory of transformers: its `quantization_config`, and opening and saving them."""

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
"""Attributes of a model that transformers sets when it loads quantized weights."""


def quantization_config(model: nn.Module) -> dict[str, Any] | None:
    """`quantization_config` of a model whose linears bitsandbytes stores; None where it stores none.

    Every module that is not quantized is listed under `llm_int8_skip_modules`: by its path, and by its path in the base
    model, for opening that alone.

    Raises:
        StageFailed: the list would skip a linear that is quantized, or quantize one that is not.
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
    """The state dict in the layout of the stock model: bf16 weights of a Conv1D are transposed back."""
    state = model.state_dict()
    for path, linear in stored_linears(model).items():
        if isinstance(linear, HalfLinear) and linear.transposed:
            state[f"{path}.weight"] = state[f"{path}.weight"].T.contiguous()
    return state


def half_paths(model: nn.Module) -> list[str]:
    """Paths of the linears that are stored in bf16."""
    return sorted(path for path, linear in stored_linears(model).items() if isinstance(linear, HalfLinear))


def misread(model: nn.Module) -> list[str]:
    """Paths of the linears that bitsandbytes' own CPU code, which plain `from_pretrained` runs, dequantizes wrongly.

    Its kernel for AVX-512 (0.50) takes the scale of another block where the length of a row of a 4-bit matrix is a
    multiple of 16 but not of 64. Here a matrix is dequantized as one row, which is right; so are GPU kernels.
    """
    found = {path: linear for path, linear in stored_linears(model).items() if isinstance(linear, FourBit)}
    return [path for path, linear in found.items() if linear.in_features % linear.block]


def adopt(model: Any, half: Iterable[str] = ()) -> None:
    """Restore the quantized linears of a model that transformers opened, in place.

    bitsandbytes' linears become those of `compress.core.low_bit`, those at the paths `half` become bf16, and the
    attributes that mark a quantized model for transformers are removed, so that it can be trained, moved and saved like
    any other.

    Args:
        model: that transformers opened.
        half: paths of the linears that are stored in bf16.
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
    # Renamings are reverted when the file is written again; conversions that dequantize cannot be.
    model._weight_conversions = [c for c in getattr(model, "_weight_conversions", None) or () if not _unpacks(c)]


def foreign(config: Any) -> str | None:
    """The package that quantized, by a `quantization_config`, where it is not bitsandbytes."""
    given = config if isinstance(config, dict) else config.to_dict()
    method = given.get("quant_method", "bitsandbytes")
    name = str(getattr(method, "value", method))
    return None if name == "bitsandbytes" else name


def put_on_meta(model: Any, half: Iterable[str] = ()) -> None:
    """`adopt` for a model on the meta device: its linears become those of its `quantization_config`, in place.

    Args:
        model: on the meta device, of a stock class.
        half: paths of the linears that are stored in bf16.
    """
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
    """The topmost modules with linears of which none is quantized."""
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
