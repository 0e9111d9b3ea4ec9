"""Hardware that this process may use: its device, and its number of threads."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["available_threads", "default_device"]

CGROUPS = Path("/sys/fs/cgroup")


def default_device(choice: str = "auto") -> torch.device:
    """`auto`: the GPU when there is one."""
    import torch

    return torch.device(
        "cuda" if choice == "auto" and torch.cuda.is_available() else "cpu" if choice == "auto" else choice
    )


def available_threads() -> int:
    """The smaller of the process's CPU affinity and the quota of its control groups (a container's limit)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in cgroup_quotas()]
    return max(1, min([allowed, *quotas]))


def cgroup_quotas(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> list[float]:
    """CPU limits of the control groups above this process (cgroup v2 and v1), in CPUs; may be fractions.

    Args:
        root: where control groups are mounted.
        membership: the file that lists those of this process.
    """
    if not membership.exists():
        return []
    found: list[float] = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        for group in _upwards(top, path):
            found += _quota(group)
    return found


def _upwards(top: Path, path: str) -> list[Path]:
    names = [name for name in path.split("/") if name not in ("", "..")]
    return [top.joinpath(*names[:depth]) for depth in range(len(names) + 1)]


def _quota(group: Path) -> list[float]:
    if (group / "cpu.max").is_file():
        quota, period = (group / "cpu.max").read_text().split()
        return [] if quota == "max" else [int(quota) / int(period)]
    if (group / "cpu.cfs_quota_us").is_file():
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        return [] if quota_us <= 0 else [quota_us / int((group / "cpu.cfs_period_us").read_text())]
    return []
