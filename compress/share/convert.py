"""Conversion to an architecture with factorized embeddings and shared blocks, with recovery training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from compress.core.errors import Refusal, UnknownName
from compress.core.families.family import families, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import UNMERGED, Declaration
from compress.core.values import Count
from compress.distill.recovering import Recovering
from compress.share.converted import converted
from compress.share.groups import Groups, even_groups
from compress.share.origin import Origin
from compress.share.origins.mean import Mean

__all__ = ["Convert", "ConvertTo"]

TARGETS = tuple(sorted(name for name, family in families().items() if family.made_from))
SMALLER = (
    "converting makes a model smaller, not faster: each layer still runs, with the same FLOPs but for the embeddings"
)


class ConvertTo(Change):
    """Conversion to another family: embeddings of `width`, of rank `width` - 1, and one block for each group."""

    to: str
    width: int
    sources: Groups = Field(description="for each group, the blocks whose mean its one block is")
    of: int = Field(description="how many layers run")

    def apply(self, bundle: Bundle) -> Bundle:
        self._check_padding(bundle)
        model, renamed = converted(
            bundle.model, bundle.family, family_of(self.to), width=self.width, sources=self.sources
        )
        fresh = frozenset(renamed[name] for name in bundle.fresh if name in renamed)
        return replace(bundle, model=model, states=bundle.states - {"shared"}, fresh=fresh)

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {
            "family": self.to,
            "embedding_width": self.width,
            "blocks": f"{len(self.sources)} for {self.of} layers",
            "made_of": [list(source) for source in self.sources],
        }

    def _check_padding(self, bundle: Bundle) -> None:
        counted_from_text = family_of(self.to).made_from[bundle.family.model_type].first_position is not None
        if counted_from_text and getattr(bundle.processor, "padding_side", "right") == "left":
            raise Refusal(
                f"a {bundle.family.model_type} model counts positions from the first token that is no padding, "
                f"{self.to} from the first of all, and this tokenizer pads on the left",
                advice="let the tokenizer pad on the right: padding_side in tokenizer_config.json",
            )


class Convert(Recovering):
    """Conversion of a BERT to a stock ALBERT: factorized embeddings and shared blocks, opened by plain transformers.

    Fewer parameters and bytes, the same FLOPs and latency. ALBERT applies its LayerNorm before the embeddings are
    projected to the hidden size, so the embeddings of tokens, positions and segments are factorized jointly, at rank
    `width` - 1, such that the norm is kept (see `compress.share.narrow`): before the recovery the outputs are those of
    the model with its embeddings truncated to that rank and its blocks shared. With the model's own hidden size as
    width and a group for each layer, they are those of the model itself. BERT-base with width 128 and one group has
    11.75 million parameters in place of 109.5.

    References:
        Lan et al. 2020, arXiv 1909.11942, sections 3.1 and 4.3. To start from a trained model is not in the paper.
    """

    to: str = Field(description="the family that the model becomes", examples=sorted(TARGETS))
    width: Count = Field(128, description="embedding size, E in the paper; from 2 to the model's hidden size")
    groups: Count = Field(1, description="number of different blocks that are left; neighbouring layers share")
    by: Origin = Field(Mean(), description="initial values of a group's shared tensors")

    @field_validator("to")
    @classmethod
    def _known(cls, to: str) -> str:
        if to not in TARGETS:
            error = UnknownName("family to convert to", to, TARGETS)
            raise PydanticCustomError("family", "{what}; {advice}", {"what": error.what, "advice": error.advice or ""})
        return to

    @property
    def decider(self) -> Origin:
        return self.by

    def damage(self, sketch: Sketch) -> Declaration:
        refusal = self._refusal(sketch)
        return Declaration(
            refusal=refusal,
            forbids=UNMERGED | {"masked", "factorized"},
            otherwise={"factorized": "leave `factorize` out: this stage factorizes the embeddings itself"},
            change=Nothing() if refusal else self._even(sketch),
            remarks=(SMALLER,),
        )

    def _refusal(self, sketch: Sketch) -> str | None:
        possible = family_of(self.to).made_from
        if sketch.family.model_type not in possible:
            kinds = ", ".join(possible)
            return f"{self.to} cannot be made of a {sketch.family.model_type} model, only of {kinds}: the parts differ"
        if not 2 <= self.width <= sketch.hidden:
            return f"width {self.width} is not between 2 and {sketch.hidden}, the model's hidden size"
        if self.groups > sketch.layers:
            return f"{self.groups} groups are more than the model's {sketch.layers} layers"
        return self._odd(sketch)

    def _even(self, sketch: Sketch) -> ConvertTo:
        sources = tuple(group[:1] for group in even_groups(sketch.layers, self.groups))
        return ConvertTo(to=self.to, width=self.width, sources=sources, of=sketch.layers)

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        sketch = bundle.sketch()
        sources = self.by.sources(bundle, even_groups(sketch.layers, self.groups), "all", ctx)
        return self._even(sketch).model_copy(update={"sources": sources})

    def _odd(self, sketch: Sketch) -> str | None:
        """Why blocks of these shapes do not fit into a stock model that runs one for all."""
        wide = {count * sketch.head_size for count in sketch.heads}
        if wide == {sketch.hidden} and len(set(sketch.neurons)) == 1:
            return None
        if max(wide) > sketch.hidden:
            most = f"{max(sketch.heads)} of {sketch.head_size} are {max(wide)}"
            what = f"its hidden size is pruned to {sketch.hidden}, and its heads are not: {most}"
        elif wide != {sketch.hidden}:
            what = "its heads are pruned"
        else:
            what = f"its layers have {', '.join(map(str, sketch.neurons))} neurons"
        return f"{self.to} runs one block of the full size for many layers, and here {what}; convert before `prune`"
