"""An origin of shared tensors that is not there yet."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups
from compress.share.origin import Origin


class Newcomer(Origin):
    """A group's last block; no data."""

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        return tuple(group[-1:] for group in groups)
