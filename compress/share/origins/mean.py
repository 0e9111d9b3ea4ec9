"""All blocks of a group, averaged."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups
from compress.share.origin import Origin

__all__ = ["Mean"]


class Mean(Origin):
    """The mean of a group's blocks, tensor by tensor; no data.

    Blocks were trained apart, so their mean does what none of them did, and the model must be trained again.
    """

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        return groups
