"""Low-rank factorization of linears or embeddings, with recovery training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.linears import ROLES, Place
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import UNMERGED, Declaration
from compress.distill.recovering import Recovering
from compress.factorize.change import FactorizeLinears, FactorizeTable
from compress.factorize.decomposition import Decomposition, What
from compress.factorize.decompositions.svd import Svd
from compress.factorize.dense import MergeFactors
from compress.factorize.fitting import Fitted, fitted, put_fitted
from compress.factorize.rank import Rank, flat_spectra, saves

__all__ = ["Factorize", "MergeFactors"]

NEURONS = {"up", "gate", "down"}
"""The roles of the feed-forward network."""
Role = Literal["all", "query", "key", "value", "output", "up", "gate", "down"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Factorize(Recovering):
    """Low-rank factorization: W (out, in) becomes A (out, r) B (r, in); fewer parameters, and fewer FLOPs for linears.

    `embeddings`: the V x H embedding matrix becomes V x E and E x H, and so does an output layer that is tied to it;
    ALBERT trains it so from the start, here the factors begin from the trained matrix. `linears`: those of the blocks,
    all or by role. A matrix whose factors would be larger than itself stays as it is.

    References:
        Lan et al. 2020, arXiv 1909.11942, section 3.1 (embeddings).
    """

    what: What = Field(description="the embedding matrix, or linears of the blocks")
    rank: Rank = Field(
        description="of the factors: a number, or the rule that chooses it",
        examples=[{"budget": {"parameters": 0.5}}],
    )
    roles: Annotated[tuple[Role, ...], BeforeValidator(_listed), Field(min_length=1)] = Field(
        ("all",), description="which linears"
    )
    by: Decomposition = Field(Svd(), description="the decomposition, by the error that it minimises")

    @model_validator(mode="after")
    def _fits(self) -> Factorize:
        if self.what not in self.by.fits:
            able = ", ".join(name for name, kind in Decomposition.members().items() if self.what in kind.fits)
            raise ValueError(f"'by: {self.by.name}' is not for {self.what}; for these there are: {able}")
        if self.what == "embeddings" and self.roles != ("all",):
            raise ValueError("'roles' says which linears; leave it out where 'what' is embeddings")
        return self

    @property
    def decider(self) -> Decomposition:
        return self.by

    def damage(self, sketch: Sketch) -> Declaration:
        refusal = self._no_places(sketch) or self.rank.refuses(self._places(sketch)) or self._no_gain(sketch)
        return Declaration(
            refusal=refusal,
            needs=frozenset({"head_trained"} if self.by.needs_head else ()),
            forbids=UNMERGED | {"masked"},
            otherwise={"head_trained": "take `by: svd` with `recover: none`"} if self.by.needs_head else {},
            change=Nothing() if refusal else self._largest(sketch),
            remarks=self._remarks(sketch),
            uncertain=None if refusal else self._uncertain(sketch),
        )

    def _remarks(self, sketch: Sketch) -> tuple[str, ...]:
        if self.what == "embeddings":
            return ()
        asked = set(ROLES) if "all" in self.roles else set(self.roles)
        others = sketch.other_stacks(heads=bool(asked - NEURONS), neurons=bool(asked & NEURONS))
        alone = f"only linears of the {sketch.family.stack} become factors; left as they are: {', '.join(others)}"
        return (alone,) if others else ()

    def _largest(self, sketch: Sketch) -> Change:
        """The change where all singular values are equal: the most parameters that can stay."""
        places = self._places(sketch)
        return self._change(places, self.rank.ranks(places, flat_spectra(places)))

    def _uncertain(self, sketch: Sketch) -> str | None:
        if self.rank.from_shapes:
            return None
        places = self._places(sketch)
        whole, most = sum(place.size for place in places), self.rank.most(places)
        return f"the singular values decide the ranks: of {whole:,} parameters at most {most:,} stay"

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self._decided(self._fitted(bundle, ctx))

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        found = self._fitted(bundle, ctx)
        ctx.note(**found.facts())
        ctx.show(*found.spectra())
        change = self._decided(found)
        if isinstance(change, Nothing):
            return bundle
        return self.recovered(bundle, ctx, partial(self._put, found=found, change=change))

    def _put(self, bundle: Bundle, *, found: Fitted, change: Change) -> Bundle:
        """The change, with the factors that were found."""
        put_fitted(bundle.model, found)
        bundle.changes, bundle.states = (*bundle.changes, change), bundle.states | {"factorized"}
        return bundle

    def _fitted(self, bundle: Bundle, ctx: Context) -> Fitted:
        return fitted(bundle, self._places(bundle.sketch()), self.by, self.rank, ctx)

    def _decided(self, found: Fitted) -> Change:
        return self._change(found.places, found.ranks)

    def _change(self, places: Sequence[Place], ranks: Sequence[int]) -> Change:
        kept = tuple((place.path, rank) for place, rank in zip(places, ranks) if saves(place, rank))
        if not kept:
            return Nothing()
        return FactorizeTable(rank=kept[0][1]) if self.what == "embeddings" else FactorizeLinears(ranks=kept)

    def _places(self, sketch: Sketch) -> tuple[Place, ...]:
        """The matrices that are asked for and not factorized yet."""
        if self.what == "embeddings":
            return (sketch.words,) if sketch.words and sketch.words.rank is None else ()
        asked = set(ROLES) if "all" in self.roles else set(self.roles)
        return tuple(place for place in sketch.linears if asked & set(place.roles) and place.rank is None)

    def _no_places(self, sketch: Sketch) -> str | None:
        model = f"a {sketch.family.model_type} model"
        if self.what == "embeddings" and sketch.words is None:
            return f"{model} has no embedding matrix to factorize"
        if self.what == "linears":
            wrong = _wrong_roles(self.roles, sketch)
            if wrong:
                return f"{model} {wrong}"
        if not self._places(sketch):
            return f"the {self.what} of this model are factorized already; put `merge_factors` before this stage"
        return None

    def _no_gain(self, sketch: Sketch) -> str | None:
        places = self._places(sketch)
        if not self.rank.from_shapes:
            return None
        ranks = self.rank.ranks(places, flat_spectra(places))
        if any(saves(place, rank) for place, rank in zip(places, ranks)):
            return None
        most = max((place.size - 1) // sum(place.shape) for place in places)
        return f"factors of rank {min(ranks)} are no smaller than the matrices themselves; choose at most {most}"


def _wrong_roles(roles: Sequence[str], sketch: Sketch) -> str | None:
    there = [role for role in ROLES if any(role in place.roles for place in sketch.linears)]
    for role in roles:
        if role != "all" and role not in there:
            return f"has no linears in the role {role!r}; it has {', '.join(there)}"
    for place in sketch.linears:
        missing = set(place.roles) - set(roles)
        if "all" not in roles and missing and missing != set(place.roles):
            return f"has {', '.join(place.roles)} in one linear; name all of them, or none"
    return None
