"""The same share in every step."""

from __future__ import annotations

from compress.prune.gradual.schedule import Schedule

__all__ = ["Linear"]


class Linear(Schedule):
    """t: as much at the end as at the beginning."""

    def share(self, time: float) -> float:
        return time
