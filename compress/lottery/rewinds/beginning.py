"""Rewinding to initialisation."""

from __future__ import annotations

from compress.lottery.rewinds.rewind import Rewind

__all__ = ["Beginning"]


class Beginning(Rewind):
    """Rewinding to the starting weights: the pretrained ones, and the head as it was.  Frankle and Carbin 2019, arXiv
    1803.03635; for pretrained encoders Chen et al. 2020, arXiv 2007.12223.
    """
