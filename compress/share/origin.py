"""Initial values of shared tensors: of which blocks of a group they are the mean."""

from __future__ import annotations

from typing import ClassVar

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups

__all__ = ["Origin"]


class Origin(Choice):
    """Initialisation of the tensors that a group of blocks shares."""

    home: ClassVar[str] = "compress.share.origins"
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    draws_random_numbers: ClassVar[bool] = False

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        """For each group, those of its blocks whose mean is the initial value. The model stays as it is.

        Args:
            bundle: the model before sharing.
            groups: block indices, from 0.
            what: which part of the blocks is shared.
            ctx: gives calibration batches.
        """
        raise NotImplementedError
