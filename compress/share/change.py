"""Changes of parameter sharing, as plain data: which blocks share which tensors, and that they no longer do."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sharing import What, share_blocks, untie_blocks
from compress.core.model.sketch import Sketch
from compress.share.groups import Groups

__all__ = ["ShareBlocks", "UntieBlocks"]


class ShareBlocks(Change):
    """Cross-layer parameter sharing: the blocks of a group use the same tensors, the mean of those of its sources.

    The model is then `shared`.
    """

    what: What = Field(description="which part of the blocks")
    groups: Groups
    sources: Groups = Field(description="for each group, the blocks whose mean its tensors are")

    def apply(self, bundle: Bundle) -> Bundle:
        share_blocks(bundle.model, bundle.family, what=self.what, groups=self.groups, sources=self.sources)
        bundle.states = bundle.states | {"shared"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {
            "shared": self.what,
            "groups": [list(group) for group in self.groups],
            "made_of": [list(source) for source in self.sources],
        }


class UntieBlocks(Change):
    """Untied blocks: each has its own tensors again, with the values that they shared."""

    def apply(self, bundle: Bundle) -> Bundle:
        untie_blocks(bundle.model, bundle.family)
        bundle.states = bundle.states - {"shared"}
        return bundle
