"""bf16 autocast, where the hardware supports it natively."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from compress.core.families.family import Family

__all__ = ["autocast", "autocasts", "bf16_supported"]


def bf16_supported(device: torch.device) -> bool:
    """Whether bf16 is native: AVX-512 BF16 or AMX on a CPU, Ampere and later on a GPU."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device, precision: str, family: Family) -> AbstractContextManager[object]:
    """Autocast for a forward pass in the precision of a training plan.

    Args:
        device: of the model.
        precision: `bf16`, `fp32`, or `auto`: bf16 where hardware and family support it.
        family: of the model; some overflow in bf16 and have `bf16=False`.
    """
    if family.bf16 and (precision == "bf16" or (precision == "auto" and bf16_supported(device))):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def autocasts(device: torch.device) -> bool:
    """Whether autocast is active on `device`; never on the meta device, which has none."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
