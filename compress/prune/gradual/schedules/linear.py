"""The linear sparsity schedule."""

from __future__ import annotations

from compress.prune.gradual.schedule import Schedule

__all__ = ["Linear"]


class Linear(Schedule):
    """Linear: t; as many weights go late as early."""

    def share(self, time: float) -> float:
        return time
