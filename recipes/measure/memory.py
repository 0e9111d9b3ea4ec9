"""Peak memory of a block of work: the device's on CUDA, the process's high-water mark on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Peak", "peak_memory", "resident_bytes"]

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
CLEAR_HIGH_WATER_MARK = "5"
SAMPLING_SECONDS = 0.01


@dataclass
class Peak:
    """Peak memory in bytes, filled when the `with` block ends.

    Attributes:
        bytes: the most that was in use at any moment of the block.
        before: what was in use when it began (on the CPU: imports and earlier data).
        notes: how it was measured, where that is not the exact way.
    """

    bytes: int = 0
    before: int = 0
    notes: list[str] = field(default_factory=list)


@contextmanager
def peak_memory(device: Any = "cpu") -> Iterator[Peak]:
    """Measure the peak memory of a block of work on `device` (`cpu`, `cuda`, or a torch.device)."""
    peak = Peak()
    measured = _on_cuda if str(device).startswith("cuda") else _on_linux if _can_reset() else _by_sampling
    with measured(peak, device):
        yield peak


def resident_bytes() -> int:
    """Bytes of this process in main memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


@contextmanager
def _on_cuda(peak: Peak, device: Any) -> Iterator[None]:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    peak.before = torch.cuda.memory_allocated(device)
    try:
        yield
    finally:
        torch.cuda.synchronize(device)
        peak.bytes = torch.cuda.max_memory_allocated(device)


def _can_reset() -> bool:
    """Whether the kernel lets a process reset its own high-water mark (Linux, outside some sandboxes)."""
    if not (STATUS.exists() and CLEAR.exists() and "VmHWM" in STATUS.read_text()):
        return False
    try:
        CLEAR.write_text(CLEAR_HIGH_WATER_MARK)
    except OSError:
        return False
    return True


@contextmanager
def _on_linux(peak: Peak, device: Any) -> Iterator[None]:
    CLEAR.write_text(CLEAR_HIGH_WATER_MARK)
    peak.before = _status_bytes("VmRSS")
    try:
        yield
    finally:
        peak.bytes = max(_status_bytes("VmHWM"), peak.before)


def _status_bytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def _by_sampling(peak: Peak, device: Any) -> Iterator[None]:
    peak.before = peak.bytes = resident_bytes()
    peak.notes.append(f"peak memory sampled every {SAMPLING_SECONDS * 1000:.0f} ms; shorter peaks are missed")
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLING_SECONDS):
            peak.bytes = max(peak.bytes, resident_bytes())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        done.set()
        sampler.join()
        peak.bytes = max(peak.bytes, resident_bytes())
