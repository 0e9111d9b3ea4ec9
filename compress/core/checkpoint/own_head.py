"""Judgement of a checkpoint's own head: trained for a task or not, by the tensors that were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from compress.core.checkpoint.config import library
from compress.core.checkpoint.guard import names
from compress.core.checkpoint.loaded import Loaded
from compress.core.families.family import base_model
from compress.core.model.head import TaskHead

__all__ = ["named_head", "own_head", "redraw"]

FRESH = "a fresh one is drawn by the seed"


def own_head(model: Any, loaded: Loaded, *, wanted: TaskHead, record: Mapping[str, Any]) -> str | None:
    """Why the head does not count as trained, for the user; None where it does.

    Args:
        model: with the task's head, as it was opened.
        loaded: what was taken from the file.
        wanted: the head that the task needs.
        record: the `trimformer.json` beside it.
    """
    outside = _outside(model)
    if loaded.other_shapes:
        return _other_size(model, loaded, wanted)
    if loaded.fresh and outside <= loaded.fresh:
        return f"the checkpoint has no head for this task: {FRESH}"
    if loaded.fresh:
        return f"the checkpoint lacks parts of its head, drawn by the seed: {names(loaded.fresh)}"
    if loaded.unknown:
        return (
            f"the checkpoint has tensors that no class of transformers has ({names(loaded.unknown)}), so that what "
            "its own head computes is not known: it does not count as trained"
        )
    if record and "head_trained" not in record.get("states", ()):
        return "the head of this checkpoint was never trained"
    return None


def named_head(config: Any, model: Any) -> str | None:
    """Class in `architectures` whose head has the same tensors and is of another task; None where there is none.

    A model of one task opens as one of another where their heads are alike: BERT's for tokens and for texts.

    Args:
        config: of the checkpoint.
        model: with the task's head.
    """
    named = [name for name in config.architectures or () if name != type(model).__name__]
    if not named or len(named) < len(config.architectures):
        return None
    for name in named:
        found = getattr(library(config.model_type), name, None)
        if not isinstance(found, type) or not isinstance(config, getattr(found, "config_class", None) or ()):
            continue
        with torch.device("meta"):
            other = found(config)
        if _outside(model) and _outside(model) <= _outside(other):
            return name
    return None


def redraw(model: Any, *, seed: int) -> frozenset[str]:
    """Initialize the head again, in place; the names of its parameters.

    Args:
        model: with the head of another task.
        seed: of the initialization.
    """
    base = set(base_model(model).modules())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in [module for module in model.modules() if module not in base and module is not model]:
            for tensor in module.parameters(recurse=False):
                vars(tensor).pop("_is_hf_initialized", None)
            model._init_weights(module)
    return frozenset(_outside(model))


def _outside(model: nn.Module) -> set[str]:
    """Names of the parameters of the head."""
    base = {id(parameter) for parameter in base_model(model).parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) not in base}


def _other_size(model: Any, loaded: Loaded, wanted: TaskHead) -> str:
    """The words for a head of another number of outputs."""
    ours = dict(model.named_parameters())
    count = int(model.config.num_labels)
    sizes = {shape[0] for name, shape in loaded.other_shapes.items() if shape and ours[name].shape[0] == count}
    if len(sizes) != 1:
        return f"the checkpoint has its head in another shape ({names(loaded.other_shapes)}): {FRESH}"
    theirs = sizes.pop()
    needed = "needs one number" if wanted.problem == "regression" else f"has {count}"
    return f"the checkpoint's head has {theirs} labels, the task {needed}: {FRESH}"
