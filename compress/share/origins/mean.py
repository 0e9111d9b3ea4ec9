"""Initialisation by the mean of a group's blocks."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups
from compress.share.origin import Origin

__all__ = ["Mean"]


class Mean(Origin):
    """Mean of the group's blocks, tensor by tensor; no data.

    The blocks were trained apart, so the mean computes what none of them did, and the model must be trained again.
    """

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        return groups
