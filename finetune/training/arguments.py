"""Training arguments of transformers' Trainer from a plan."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from compress.core.errors import InputError
from compress.core.families.family import Family
from compress.core.fit.plan import TrainPlan
from compress.core.model.precision import bf16_supported

if TYPE_CHECKING:
    from transformers import TrainingArguments

__all__ = ["training_arguments", "uses_bf16"]

SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant_with_warmup",
    "slanted_triangle": "linear",  # finetune.training.schedules puts its own factors in place of these
}


def training_arguments(
    plan: TrainPlan, family: Family, *, rows: int, seed: int, device: torch.device, output: Path
) -> TrainingArguments:
    """Arguments of transformers' Trainer for a complete plan (every field that `DEFAULT_PLAN` has is set).

    Args:
        plan: complete.
        family: of the model.
        rows: of the train split.
        seed: of dropout and of the order of the rows.
        device: where it trains.
        output: directory of checkpoints.

    Raises:
        InputError: a value of `arguments:` that TrainingArguments refuses.
    """
    from transformers import TrainingArguments

    fields = {
        **_fixed(device),
        "output_dir": str(output),
        "seed": seed,
        "num_train_epochs": plan.epochs,
        "max_steps": plan.max_steps or -1,
        "learning_rate": plan.learning_rate,
        "per_device_train_batch_size": plan.batch_size,  # our sampler divides it where there are several
        "gradient_accumulation_steps": plan.accumulation,
        "lr_scheduler_type": SCHEDULES[plan.schedule or "linear"],
        "warmup_steps": math.ceil((plan.warmup or 0.0) * plan.steps(rows=rows)),
        "weight_decay": plan.weight_decay,
        "max_grad_norm": plan.clip,
        "bf16": uses_bf16(plan, device, family),
        **dict(plan.arguments),
    }
    try:
        arguments = TrainingArguments(**fields)
        if plan.arguments:
            _try(arguments)
    except (TypeError, ValueError, ImportError, OverflowError, AttributeError, RuntimeError, OSError) as error:
        raise InputError(f"the training arguments cannot be used: {error}", given=dict(plan.arguments)) from error
    if arguments.parallel_mode.value != "distributed":
        arguments._n_gpu = min(arguments.n_gpu, 1)  # Trainer would wrap the model in DataParallel, which is no match
    return arguments


def _try(arguments: TrainingArguments) -> None:
    """Build what the Trainer builds of the arguments, on one number: each part refuses values of its own."""
    from torch.utils.data import DataLoader
    from transformers import Trainer, get_scheduler

    optimizer, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    own: Any = arguments.lr_scheduler_kwargs or None  # text was parsed when the arguments were made
    get_scheduler(
        arguments.lr_scheduler_type,
        optimizer([torch.nn.Parameter(torch.zeros(1))], **settings),
        num_warmup_steps=1,
        num_training_steps=2,
        scheduler_specific_kwargs=own,
    )
    several = arguments.dataloader_num_workers > 0
    DataLoader(
        [0],  # type: ignore[arg-type]
        num_workers=arguments.dataloader_num_workers,
        persistent_workers=arguments.dataloader_persistent_workers,
        prefetch_factor=arguments.dataloader_prefetch_factor if several else None,
    )


def _fixed(device: torch.device) -> dict[str, Any]:
    """What every training has in common; `OWNED` in compress.core.fit.arguments says why where it is not plain."""
    return {
        "use_cpu": device.type == "cpu",
        "optim": "adamw_torch_fused",
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": device.type == "cuda",
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


def uses_bf16(plan: TrainPlan, device: torch.device, family: Family) -> bool:
    """Whether the plan trains a model of `family` with bf16 autocast on this device.

    Args:
        plan: of the training.
        device: where it trains.
        family: of the model.

    Raises:
        InputError: bf16 was asked where the hardware or the family has none.
    """
    precision: Literal["auto", "fp32", "bf16"] = plan.precision or "auto"
    if precision == "fp32":
        return False
    supported = family.bf16 and bf16_supported(device)
    if precision == "bf16" and not supported:
        what = f"this {device.type}" if family.bf16 else f"transformers' {family.model_type} model"
        raise InputError(f"{what} computes no bf16", where="train.precision", advice="`precision: auto` or fp32")
    return supported
