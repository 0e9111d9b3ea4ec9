"""Forms in which other tools leave the tensors of a model, told by their names, and how each is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Form", "form_of", "odd_types"]

RESAVE = "load them into the model that wrote them, {}, and save_pretrained it again"
RENAME = "rename the tensors once: save_file({{k.removeprefix({!r}): v for k, v in load_file(FILE).items()}}, FILE)"


class Form(NamedTuple):
    """Names of tensors that a wrapper, a parametrization or a quantization left in a file.

    Attributes:
        pattern: of a name.
        told: what it is.
        advice: how it is undone.
    """

    pattern: re.Pattern[str]
    told: str
    advice: str


def _prefix(prefix: str, told: str) -> Form:
    return Form(re.compile(rf"(^|\.){re.escape(prefix)}"), told, RENAME.format(prefix))


FORMS = (
    _prefix("_orig_mod.", "they were saved from a model that torch.compile wraps"),
    _prefix("_fsdp_wrapped_module.", "they were saved from a model that FSDP wraps"),
    _prefix("_checkpoint_wrapped_module.", "they were saved from a model that activation checkpointing wraps"),
    Form(
        re.compile(r"^_?module\."),
        "they were saved from a model that DataParallel, DeepSpeed or Opacus wraps",
        RENAME.format("module."),
    ),
    Form(
        re.compile(r"(weight|bias)_(orig|mask)$"),
        "they were pruned with torch.nn.utils.prune, which keeps a weight as weight_orig and weight_mask",
        RESAVE.format("call torch.nn.utils.prune.remove(module, 'weight') on each pruned module"),
    ),
    Form(
        re.compile(r"(\.|^)parametrizations\.|weight_[guv]$"),
        "their weights are parametrized (weight_g and weight_v, or parametrizations)",
        RESAVE.format("call torch.nn.utils.parametrize.remove_parametrizations or remove_weight_norm on each"),
    ),
    Form(
        re.compile(r"\.base_layer\.|(\.|^)lora_|^base_model\.model\.|modules_to_save\."),
        "they hold an adapter of PEFT beside its base",
        RESAVE.format("merge the adapter with merge_and_unload()"),
    ),
    Form(
        re.compile(r"(\.|^)adapters?\.|adapter_(up|down)\.|prefix_tuning"),
        "they hold adapter modules, which transformers' classes do not have",
        RESAVE.format("merge or remove the adapters"),
    ),
    Form(
        re.compile(
            r"\.(qweight|qzeros|g_idx|scales|SCB|weight_format|absmax|quant_map|nested_absmax|weight_scale\w*"
            r"|input_scale|zero_point|weight_zero_point|weight_packed)$|\.weight\.(absmax|quant_\w+|nested_\w+|SCB)"
            r"|\._packed_params|\.quant_state\."
        ),
        "they are quantized, and config.json does not say how",
        "name the model that it was made of, or keep its quantization_config in config.json",
    ),
    Form(
        re.compile(r"distance_embedding"),
        "they have relative positions, which transformers no longer computes for this architecture",
        "name a checkpoint with absolute positions",
    ),
)


def form_of(surplus: Iterable[str]) -> Form | None:
    """The form of names that the model does not have; None where it is none of the known ones.

    Args:
        surplus: names of tensors in the file that the model does not have.
    """
    given = list(surplus)
    return next((form for form in FORMS if any(form.pattern.search(name) for name in given)), None)


def odd_types(types: Iterable[str]) -> list[str]:
    """Of the types of tensors, in the words of safetensors, those that are no floating-point weights.

    Args:
        types: of the tensors that become weights.
    """
    return sorted({each for each in types if not each.startswith(("F16", "F32", "F64", "BF16"))})
