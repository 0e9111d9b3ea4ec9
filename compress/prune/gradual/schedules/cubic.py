"""The cubic sparsity schedule."""

from __future__ import annotations

from compress.prune.gradual.schedule import Schedule

__all__ = ["Cubic"]


class Cubic(Schedule):
    """Cubic: 1 - (1 - t)^3; most weights go early, while there are many to choose from.

    References:
        Zhu and Gupta 2017, arXiv 1710.01878, eq. 1.
    """

    def share(self, time: float) -> float:
        return 1 - (1 - time) ** 3
