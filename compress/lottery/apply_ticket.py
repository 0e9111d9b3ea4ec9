"""Ticket transfer: a ticket that was found elsewhere masks a fresh model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from compress.core.stage.task import TaskView
from compress.core.values import Count, Name, NamedFile, Seed
from compress.lottery.change import KeepShare, TicketsOffered
from compress.lottery.controls.control import Control
from compress.lottery.refusals import forbidden
from compress.lottery.search import state_of, to_start
from compress.lottery.seed_search import ticket_file
from compress.lottery.ticket import Ticket, read_ticket
from compress.prune.weights.mask import Mask

__all__ = ["ApplyTicket"]


class ApplyTicket(Stage):
    """Only the weights that a ticket keeps stay; a `finetune` behind it trains them on its own task.

    The ticket is a file that `find_ticket` left, also in another run and on another task (transfer), or one that an
    earlier stage of this recipe found. It fits the model that it was found in, the same checkpoint with any head. With
    `control` a subnetwork of the ticket's size is put on instead, which the ticket must beat.

    A search that rewinds to a step leaves the mask; the weights of that step are not in the file, and the ticket begins
    with those of the model here.

    References:
        Chen et al. 2020, arXiv 2007.12223, section 5.
    """

    shown: ClassVar[tuple[str, ...]] = ("ticket",)

    ticket: NamedFile | None = Field(None, description="the file of a ticket; relative to the recipe")
    found_by: Name | None = Field(None, description="id of the find_ticket stage of this recipe that found it")
    round: Count | None = Field(None, description="with found_by: whose ticket; the last unless given")
    seed: Seed | None = Field(None, description="with found_by: of which search; the smallest unless given")
    control: Control | None = Field(None, description="put this on instead, at the ticket's size")

    @model_validator(mode="after")
    def _one_ticket(self) -> ApplyTicket:
        if (self.ticket is None) == (self.found_by is None):
            raise ValueError("name the ticket either by its file, 'ticket', or by the stage that found it, 'found_by'")
        if self.ticket is not None and (self.round is not None or self.seed is not None):
            raise ValueError("'round' and 'seed' choose among the tickets of 'found_by'; a file is one ticket")
        return self

    def requires(self) -> Requires:
        return Requires(
            names={"found_by": self.found_by} if self.found_by else {},
            reads=(Path(self.ticket),) if self.ticket else (),
            draws=self.control is not None,
        )

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        told = Declaration(forbids=forbidden(sketch), remarks=sketch.first_stack_alone)
        if self.ticket is not None:
            return self._of_file(Path(self.ticket), sketch, told)
        offer = named["found_by"].offer
        refusal = self._unoffered(offer)
        if refusal:
            return replace(told, refusal=f"{self.found_by!r} cannot be the stage of 'found_by': {refusal}")
        uncertain = "which weights stay is the ticket's, which is not found yet"
        return replace(told, change=offer.share_after(self.round), uncertain=uncertain)

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        if self.ticket is not None:
            read_ticket(Path(self.ticket)).masks_for(bundle)

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        change = self._decided(bundle, ctx)
        if self.control:
            begun = self.control.start(bundle, state_of(bundle.model), tuple(change.masks()), ctx.generator())
            to_start(bundle.model, begun)
        return bundle.changed_by(change)

    def _of_file(self, file: Path, sketch: Sketch, told: Declaration) -> Declaration:
        try:
            ticket = read_ticket(file)
        except InputError as error:
            return replace(told, refusal=str(error))
        found, expected = ticket.architecture, sketch.family.model_type
        if found != expected:
            return replace(told, refusal=f"the ticket is of a model of type {found!r}, this one is {expected!r}")
        return replace(told, change=KeepShare(remaining=ticket.remaining))

    def _unoffered(self, offer: object) -> str | None:
        """Why what the named stage leaves is not the ticket that is asked for, or None."""
        if not isinstance(offer, TicketsOffered):
            return "it leaves no tickets; name a `find_ticket` stage"
        if self.round is not None and self.round > offer.rounds:
            return f"its search has {offer.rounds} rounds, and none of the number {self.round}"
        if self.seed is not None and self.seed not in offer.seeds:
            return f"its search runs with the seeds {', '.join(map(str, offer.seeds))}, and not with {self.seed}"
        return None

    def _decided(self, bundle: Bundle, ctx: Context) -> Mask:
        ticket = self._ticket(ctx)
        masks = ticket.masks_for(bundle)
        ctx.note(ticket={**ticket.facts, "kept": ticket.kept, "weights": ticket.size, "remaining": ticket.remaining})
        return Mask.of(self.control.masks(masks, ctx.generator()) if self.control else masks)

    def _ticket(self, ctx: Context) -> Ticket:
        if self.ticket is not None:
            return read_ticket(Path(self.ticket))
        if self.found_by is None or self.found_by not in ctx.places:
            raise InputError(f"no earlier stage is called {self.found_by!r}", given=sorted(ctx.places))
        return read_ticket(ticket_file(ctx.places[self.found_by] / "tickets", seed=self.seed, number=self.round))
