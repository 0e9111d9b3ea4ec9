"""Names and types in a plan's `arguments:`, checked against `transformers.TrainingArguments` before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compress.core.errors import InputError, UnknownName

__all__ = ["OWNED", "check_arguments"]

OWNED = {
    "output_dir": "the stage's own directory holds the checkpoints",
    "seed": "write `seeds:` in the recipe",
    "data_seed": "write `seeds:` in the recipe",
    "num_train_epochs": "write `epochs:`",
    "max_steps": "write `max_steps:`",
    "learning_rate": "write `learning_rate:`",
    "per_device_train_batch_size": "write `batch_size:`",
    "train_batch_size": "write `batch_size:`",
    "gradient_accumulation_steps": "write `accumulation:`",
    "lr_scheduler_type": "write `schedule:`",
    "warmup_steps": "write `warmup:`",
    "warmup_ratio": "write `warmup:`",
    "weight_decay": "write `weight_decay:`",
    "max_grad_norm": "write `clip:`",
    "bf16": "write `precision: bf16`",
    "fp16": "write `precision: bf16`; fp16 would scale the gradients that hooks read",
    "use_cpu": "use the option --device",
    "gradient_checkpointing": "write `gradient_checkpointing:`",
    "activation_checkpointing": "write `gradient_checkpointing:`",
    "load_best_model_at_end": "write `patience:`",
    "save_strategy": "checkpoints are written by time",
    "save_steps": "checkpoints are written by time",
    "save_total_limit": "one checkpoint is kept",
    "eval_strategy": "the engine evaluates",
    "remove_unused_columns": "row ids must reach the objective",
    "logging_nan_inf_filter": "a loss that is not finite must stop the stage",
    "ddp_find_unused_parameters": "it is off",
    "train_sampling_strategy": "batches are grouped by length, in an order that resumes",
    "group_by_length": "batches are grouped by length, in an order that resumes",
    "auto_find_batch_size": "write `batch_size:`",
}
"""Arguments that the plan, the recipe or the training entry decides, and what to write instead."""


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise where a name is no field of `TrainingArguments`, is decided elsewhere, or has a value of another type.

    Raises:
        UnknownName: with the closest name.
        InputError: the plan has a field of its own for it, or the field is of another type.
    """
    for name in given:
        if name in OWNED:
            raise InputError(f"the training argument {name!r} cannot be passed through", advice=OWNED[name])
    if not given:
        return
    import dataclasses
    from typing import get_type_hints

    from transformers import TrainingArguments

    known = {field.name for field in dataclasses.fields(TrainingArguments) if field.init} - set(OWNED)
    types = get_type_hints(TrainingArguments)
    for name, value in given.items():
        if name not in known:
            raise UnknownName("training argument", name, known)
        _check_type(name, value, types[name])


def _check_type(name: str, value: Any, of: Any) -> None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    strict = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        TypeAdapter(of, config=strict).validate_python(value)
    except ValidationError:
        kind = getattr(of, "__name__", None) or str(of).replace("typing.", "")
        raise InputError(
            f"the training argument {name!r} has a value of another type", advice=f"transformers takes {kind}"
        ) from None
