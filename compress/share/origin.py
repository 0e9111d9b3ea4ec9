"""Out of which blocks the tensors of a group are made."""

from __future__ import annotations

from typing import ClassVar

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups

__all__ = ["Origin"]


class Origin(Choice):
    """What the one set of tensors that a group of blocks uses begins with."""

    home: ClassVar[str] = "compress.share.origins"
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    draws_random_numbers: ClassVar[bool] = False

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        """For each group, the blocks of it whose mean its tensors become. The model stays as it is."""
        raise NotImplementedError
