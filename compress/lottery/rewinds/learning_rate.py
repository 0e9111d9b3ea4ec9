"""Learning rate rewinding."""

from __future__ import annotations

from typing import ClassVar

from compress.lottery.rewinds.rewind import Rewind

__all__ = ["LearningRate"]


class LearningRate(Rewind):
    """Learning rate rewinding: only the schedule begins again.  Renda et al. 2020, arXiv 2003.02389.

    The weights stay trained. Controls begin at the full model's trained weights.
    """

    goes_back: ClassVar[bool] = False
