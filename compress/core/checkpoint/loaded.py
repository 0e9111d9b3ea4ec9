"""Judgement of an opening: every tensor that the model needs came from the file, and every one of the file was used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.checkpoint.forms import form_of, odd_types
from compress.core.checkpoint.guard import names
from compress.core.checkpoint.weights import Stored
from compress.core.errors import InputError
from compress.core.families.family import base_model, family_of

__all__ = ["Loaded", "check_finite", "judged"]

OTHER_HEADS = frozenset(
    {"cls", "lm_head", "lm_predictions", "mask_predictions", "predictions", "sop_classifier", "vocab_transform"}
    | {"vocab_layer_norm", "vocab_projector", "discriminator_predictions", "generator_predictions", "qa_outputs"}
    | {"generator_lm_head", "final_logits_bias", "mlm_head", "decoder", "logits_proj", "score", "classifier"}
    | {"cls_classifier", "distillation_classifier", "multiple_choice_head", "qa_classifier", "summary"}
)
"""Modules that transformers' own classes have outside of the base model: what they compute is known."""
HARMLESS = (
    "attn.masked_bias", "attn.bias", "attention.bias", "position_ids", "token_type_ids", "inv_freq",
    "embeddings.mask_token",
)  # fmt: skip
"""Ends of names that no answer to a whole input depends on: constants that older versions of transformers wrote into
files, and the token in the place of masked patches, of a pre-training."""


@dataclass(frozen=True)
class Loaded:
    """What an opening took from the file.

    Attributes:
        fresh: parameters that the file lacks, or has in another shape: they were initialized.
        other_shapes: of these the ones that it has in another shape -> that shape.
        unknown: tensors of the file, outside of the base model, that no class of transformers has.
        notes: remarks for the user.
    """

    fresh: frozenset[str] = frozenset()
    other_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judged(
    model: Any, report: Mapping[str, Any], stored: Mapping[str, Stored], *, heads: Collection[str], given: str
) -> Loaded:
    """What an opening took from the file, where that is the model that the file holds.

    Args:
        model: as transformers opened it.
        report: its `output_loading_info`.
        stored: the tensors of the file.
        heads: names of modules that may be missing, since a task brings its own.
        given: the checkpoint, for messages.

    Raises:
        InputError: the file lacks tensors outside of `heads`, or holds tensors that the model has no use for and that
            are no head of another task: it would compute another function.
    """
    shapes = {name: tuple(theirs) for name, theirs, _ in report["mismatched_keys"]}
    fresh = set(report["missing_keys"]) | shapes.keys()
    surplus = sorted(name for name in report["unexpected_keys"] if not name.endswith(HARMLESS))
    lost = sorted(name for name in fresh if not set(name.split(".")) & set(heads))
    heads = {*heads, *family_of(model.config.model_type).head_modules}
    form = form_of(surplus)
    if lost or form:
        raise _lacking(lost, shapes, surplus, given=given)
    inside = [name for name in surplus if _inside(name, model) and not set(name.split(".")) & set(heads)]
    if inside:
        raise _surplus(inside, model, given=given)
    if getattr(model.config, "quantization_config", None) is None:
        _check_types({*fresh, *surplus}, stored, given=given)
    others = {name.removeprefix(_prefix(model)).split(".")[0] for name in surplus}
    unknown = tuple(name for name in surplus if _module(name, model) not in OTHER_HEADS | set(heads))
    notes = (f"tensors of other heads in the checkpoint are not used: {names(others)}",) if others else ()
    return Loaded(frozenset(fresh), shapes, unknown, notes)


def _lacking(lost: list[str], shapes: Mapping[str, tuple[int, ...]], surplus: list[str], *, given: str) -> InputError:
    form = form_of(surplus)
    words = []
    if lost:
        words.append(f"the weights lack {len(lost)} tensors of the model itself (or have them in other shapes): "
                     f"{names(name + _shape(shapes.get(name)) for name in lost)}")  # fmt: skip
    if surplus:
        words.append(f"the file holds {len(surplus)} tensors that the model has no use for: {names(surplus)}")
    if form:
        words.append(form.told)
    advice = "config.json and model.safetensors do not belong together"
    return InputError("; ".join(words), given=given, advice=form.advice if form else advice)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else f" (the file has {list(shape)})"


def _surplus(inside: list[str], model: nn.Module, *, given: str) -> InputError:
    return InputError(
        f"the file holds {len(inside)} tensors that a {type(model).__name__} of this config.json has no use for: "
        f"{names(inside)}; it would compute another function than the checkpoint",
        given=given,
        advice="config.json says another number of layers, or another kind of model, than the weights are of",
    )


def _check_types(unused: Collection[str], stored: Mapping[str, Stored], *, given: str) -> None:
    """Raise `InputError` where integers would be converted to weights."""
    used = {name: each for name, each in stored.items() if name not in unused}
    used = {name: each for name, each in used.items() if name.endswith((".weight", ".bias"))}
    odd = odd_types(each.dtype for name, each in used.items() if not name.endswith(HARMLESS))
    if odd:
        first = next(name for name, each in used.items() if each.dtype == odd[0] and not name.endswith(HARMLESS))
        raise InputError(
            f"weights are stored as {odd[0]} ({first}), and config.json has no quantization_config that says how they "
            "are read",
            given=given,
            advice="name the model that it was made of, in floating-point numbers",
        )


def _inside(name: str, model: nn.Module) -> bool:
    """Whether a name is one of the base model: by its prefix, or by a module of the base model."""
    prefix = _prefix(model)
    if prefix and name.startswith(prefix):
        return True
    return name.split(".")[0] in {path for path, _ in base_model(model).named_children()}


def _prefix(model: nn.Module) -> str:
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if prefix and base_model(model) is not model else ""


def _module(name: str, model: nn.Module) -> str:
    return name.removeprefix(_prefix(model)).split(".")[0]


def check_finite(tensors: Mapping[str, Tensor], *, given: str) -> None:
    """Raise `InputError` where a weight is NaN or infinite.

    Args:
        tensors: of a model, or of its file.
        given: the checkpoint, for messages.
    """
    odd = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if odd:
        raise InputError(
            f"the checkpoint itself holds values that are NaN or infinite, in {len(odd)} tensors: {names(odd)}",
            given=given,
            advice="its training diverged, or the file was damaged: name an earlier checkpoint",
        )
