"""Initialisation by the first block of a group."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.sharing import What
from compress.core.stage.context import Context
from compress.share.groups import Groups
from compress.share.origin import Origin

__all__ = ["First"]


class First(Origin):
    """First block of the group; no data."""

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        return tuple(group[:1] for group in groups)
