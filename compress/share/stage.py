"""Cross-layer parameter sharing as in ALBERT, with recovery training, and untying. Conversion is beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sharing import What
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.declaration import UNMERGED, Declaration
from compress.core.stage.fixed import FixedChange
from compress.core.values import Count
from compress.distill.recovering import Recovering
from compress.share.change import ShareBlocks, UntieBlocks
from compress.share.convert import Convert
from compress.share.groups import Groups, even_groups
from compress.share.origin import Origin
from compress.share.origins.mean import Mean

__all__ = ["Convert", "Share", "Untie"]

SMALLER = "sharing makes a model smaller, not faster: each layer still runs, with the same FLOPs"


class Share(Recovering):
    """Cross-layer parameter sharing: groups of neighbouring blocks use the same tensors; FLOPs and latency stay.

    The tensors are counted once, stored once, and trained as one. Blocks that were trained apart differ, so the model
    must be trained again: ALBERT itself, trained so from the start, loses 1.5 points of its average with all shared and
    E = 128, most of it by the feed-forward network, and next to nothing by attention alone.

    References:
        Lan et al. 2020, arXiv 1909.11942, section 3.1 and table 4.
    """

    what: What = Field("all", description="whole blocks, or their attention or feed-forward network with its norms")
    groups: Count = Field(1, description="number of different blocks that are left; neighbouring layers share")
    by: Origin = Field(Mean(), description="initial values of a group's shared tensors")

    @property
    def decider(self) -> Origin:
        return self.by

    def damage(self, sketch: Sketch) -> Declaration:
        refusal = self._refusal(sketch)
        linears: frozenset[State] = frozenset({"factorized"} if sketch.has_factorized_linears else ())
        return Declaration(
            refusal=refusal,
            forbids=UNMERGED.union({"masked", "shared"}, linears),
            change=Nothing() if refusal else self._tied(sketch),
            remarks=self._remarks(sketch),
        )

    def _remarks(self, sketch: Sketch) -> tuple[str, ...]:
        others = sketch.other_stacks(heads=self.what != "ffn", neurons=self.what != "attention")
        alone = f"only blocks of the {sketch.family.stack} share; left as they are: {', '.join(others)}"
        return (SMALLER, alone) if others else (SMALLER,)

    def _refusal(self, sketch: Sketch) -> str | None:
        if why := sketch.family.refuses("blocks", stage="share"):
            return why
        if self.groups >= sketch.layers:
            return f"{self.groups} groups of {sketch.layers} layers share nothing; choose fewer groups"
        return self._uneven(sketch)

    def _tied(self, sketch: Sketch) -> ShareBlocks:
        groups = even_groups(sketch.layers, self.groups)
        return ShareBlocks(what=self.what, groups=groups, sources=tuple(group[:1] for group in groups))

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        tied = self._tied(bundle.sketch())
        sources = self.by.sources(bundle, tied.groups, self.what, ctx)
        return tied.model_copy(update={"sources": sources})

    def _uneven(self, sketch: Sketch) -> str | None:
        """Which blocks of a group differ in shape, where the sketch has the shapes."""
        groups = even_groups(sketch.layers, self.groups)
        parts = {"heads": sketch.heads, "neurons": sketch.neurons}
        if self.what != "all":
            parts.pop("neurons" if self.what == "attention" else "heads")
        for part, counts in parts.items():
            odd = _odd_group(counts, groups)
            if odd:
                found = ", ".join(str(counts[number]) for number in odd)
                where = f"the layers {odd[0]} to {odd[-1]} have {found} {part}"
                advice = "prune with 'allocation: uniform', choose other groups, or share another part"
                return f"share cannot tie blocks of different shapes: {where}; {advice}"
        return None


class Untie(FixedChange):
    """Untying of shared blocks: each gets its own tensors, with the same values; more bytes, the same outputs.

    Then stages for single blocks can follow: pruning, and low-rank updates.
    """

    needs: ClassVar[frozenset[State]] = frozenset({"shared"})

    def change(self, sketch: Sketch) -> Change:
        return UntieBlocks()


def _odd_group(counts: Sequence[int], groups: Groups) -> tuple[int, ...] | None:
    """The first group whose blocks differ in `counts`."""
    if not counts:
        return None
    return next((group for group in groups if len({counts[number] for number in group}) > 1), None)
