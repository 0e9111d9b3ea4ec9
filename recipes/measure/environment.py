"""Environment of a report's measurements: machine and versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from compress.core.hardware import available_threads

__all__ = ["environment"]

PACKAGES = (
    "trimformer", "torch", "transformers", "tokenizers", "safetensors", "accelerate", "datasets", "peft",
    "bitsandbytes", "optimum", "onnx", "onnxruntime", "openvino", "nncf", "numpy", "scikit-learn", "scipy",
    "codecarbon",
)  # fmt: skip

INSTRUCTIONS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "bf16"),
    "AMX": ("amx_tile",),
    "AMX-INT8": ("amx_int8",),
    "NEON": ("neon", "asimd"),
    "SVE": ("sve",),
    "I8MM": ("i8mm",),
}


def environment() -> dict[str, Any]:
    """CPU, its instruction sets, cores by affinity and quota, memory, GPU, operating system, Python, versions."""
    import psutil

    return {
        "cpu": cpu_model(),
        "instructions": instructions(cpu_flags()),
        "logical_cores": os.cpu_count(),
        "threads": available_threads(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def _cpu_fields() -> dict[str, str]:
    """The first processor's fields of /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8", "replace").split("\n\n")[0].splitlines() if path.exists() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def cpu_model() -> str:
    fields = _cpu_fields()
    return fields.get("model name") or fields.get("Model") or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    fields = _cpu_fields()
    return set((fields.get("flags") or fields.get("Features") or "").lower().split())


def instructions(flags: set[str]) -> list[str]:
    """Instruction sets among `flags` that decide the speed of int8 and bf16."""
    return [name for name, words in INSTRUCTIONS.items() if flags & set(words)]


def gpus() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [{"name": gpu.name, "memory_bytes": int(gpu.total_memory), "cuda": torch.version.cuda} for gpu in found]


def versions() -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = ((name, _version(name)) for name in PACKAGES)
    return {name: version for name, version in found if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
