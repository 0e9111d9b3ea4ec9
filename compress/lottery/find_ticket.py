"""The search for a lottery ticket: a subnetwork that, trained alone from the same weights, matches the full model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration, Training
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from compress.core.stage.task import TaskView
from compress.core.values import Count, Share
from compress.lottery.bench import Bench, workspace
from compress.lottery.change import TicketsOffered
from compress.lottery.controls.control import Control
from compress.lottery.exhibits import FACT, search_exhibits
from compress.lottery.findings import about, judge_of, overlaps
from compress.lottery.refusals import forbidden, no_units
from compress.lottery.rewinds.beginning import Beginning
from compress.lottery.rewinds.rewind import Rewind, check_steps
from compress.lottery.search import Choose, all_ones, largest_weights, state_of, to_start
from compress.lottery.seed_search import RESULT, SeedSearch
from compress.lottery.seeds import Seeds
from compress.lottery.units import lowest_units
from compress.prune.weights.mask import Mask

__all__ = ["FindTicket"]


class FindTicket(Stage):
    """Iterative magnitude pruning: train, remove the lowest share of what is left, rewind, and again.

    Each round removes the share `rate` of the remaining weights of all matrices of the encoder's blocks together
    (Chen et al. 2020), so that (1 - rate)^n of them stay after n rounds; biases, norms, embeddings, pooler and head are
    never pruned. With `heads_and_ffn` whole heads, and whole feed-forward networks, are removed by their importance
    (Prasanna et al. 2020). Every training has an optimiser and a schedule of its own. Rewinding takes the head back
    too; the code of Chen et al. does not, so that their head has been trained in all rounds before the last.

    The search is repeated for each of `seeds`, which draw the order of the rows and dropout; all begin at the same
    weights. Every subnetwork is judged on *select*. The result is the last ticket (or that of `round`) of the first
    seed, trained; the tickets of all rounds and seeds lie in the stage's directory below `tickets/`.

    References:
        Frankle and Carbin 2019, arXiv 1803.03635; Chen et al. 2020, arXiv 2007.12223; Prasanna et al. 2020, arXiv
        2005.00561.
    """

    rounds: Count = Field(10, description="how often weights are removed")
    rate: Share = Field(0.2, description="share of what is left that each round removes")
    rewind: Rewind = Field(Beginning(), description="where each round begins: beginning, {step: 500}, learning_rate")
    prune: Literal["elements", "heads_and_ffn"] = Field(
        "elements", description="single weights, or whole attention heads and feed-forward networks"
    )
    seeds: Seeds = Field((0, 1, 2), description="the search is repeated for each")
    controls: tuple[Control, ...] = Field((), description="subnetworks of the same sizes that the ticket must beat")
    round: Count | None = Field(None, description="whose ticket, trained, is the result; the last unless given")
    batches: Count = Field(64, description="batches of train that the importance of heads and networks is taken from")
    train: TrainPlan = Field(TrainPlan(), description="how long and how fast, each time")

    @model_validator(mode="after")
    def _fits(self) -> FindTicket:
        if self.round is not None and self.round > self.rounds:
            raise ValueError(f"round {self.round} is beyond the {self.rounds} rounds of the search")
        why = self.rewind.check_steps(self.train.max_steps) if self.train.max_steps else None
        if why:
            raise ValueError(why)
        names = [control.name for control in self.controls]
        if len(set(names)) < len(names):
            raise ValueError("a control is given twice")
        return self

    def requires(self) -> Requires:
        return Requires(data=frozenset({"rows", "labels"}))

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        offer = TicketsOffered(self.seeds, self.rounds, self.rate)
        return Declaration(
            refusal=no_units(sketch, self.name) if self.prune == "heads_and_ffn" else None,
            forbids=forbidden(sketch),
            adds=frozenset({"head_trained"}),
            change=offer.share_after(self._result),
            training=Training(self._plan()),
            remarks=sketch.first_stack_alone,
            offer=offer,
        )

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        check_steps(self.rewind, self._plan(), task)

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        with workspace(ctx) as place:
            bench = Bench(bundle, ctx, self._plan(), place / "bench")
            start, searches = state_of(bundle.model), self._searches(bench, place)
            for search in searches:
                search.run(start, self.controls)
            found = self._found(searches, bench)
            ctx.note(**{FACT: found})
            ctx.show(*search_exhibits(found))
            to_start(bundle.model, bench.kept(RESULT))
            masks = searches[0].ticket(self._result).masks_named(bundle)
        bundle.masks, bundle.fresh = {}, frozenset()
        bundle.states = bundle.states | {"head_trained"}
        return bundle.changed_by(Mask.of(masks))

    def _plan(self) -> TrainPlan:
        return self.train.over(DEFAULT_PLAN)

    @property
    def _result(self) -> int:
        """The number of the round whose ticket is the result."""
        return self.round or self.rounds

    def _searches(self, bench: Bench, place: Path) -> list[SeedSearch]:
        bundle = bench.bundle
        ones = all_ones(bundle)
        model = base_fingerprint(bundle.model, bundle.family)
        facts = {"rate": self.rate, "rewind": self.rewind.recipe_form(), "prune": self.prune}
        return [
            SeedSearch(
                bench, seed, self.rounds, self._choose(bench), ones, self.rewind,
                bench.ctx.left / "tickets" if bench.ctx.left else place / "tickets", model,
                keep=self._result if seed == self.seeds[0] else None, facts=facts,
            )
            for seed in self.seeds
        ]  # fmt: skip

    def _choose(self, bench: Bench) -> Choose:
        if self.prune == "elements":
            return largest_weights(self.rate)
        return lowest_units(bench.bundle, bench.ctx, rate=self.rate, batches=self.batches)

    def _found(self, searches: list[SeedSearch], bench: Bench) -> dict[str, Any]:
        """The facts of the report."""
        judge = judge_of(bench, [search.name(0) for search in searches])
        first = searches[0].ticket(1)
        numbers = range(1, self.rounds + 1)
        tickets = {number: [bench.answers(s.name(number)) for s in searches] for number in numbers}
        sizes = {number: {"round": number, **_size(searches[0].ticket(number).kept, first.size)} for number in numbers}
        lines: dict[str, Any] = {"ticket": [{**sizes[n], **judge.against_full(tickets[n])} for n in numbers]}
        for control in self.controls:
            answers = {n: [bench.answers(s.name(n, control.name)) for s in searches] for n in numbers}
            lines[control.name] = [{**sizes[n], **judge.below(answers[n], tickets[n])} for n in numbers]
        by_seed = {search.seed: search for search in searches}
        return {
            **about(bench, judge, self.seeds),
            "weights": first.size,
            "lines": lines,
            "overlap": overlaps(self.seeds, numbers, lambda seed, number: by_seed[seed].ticket(number).masks),
        }


def _size(kept: int, of: int) -> dict[str, Any]:
    return {"kept": kept, "remaining": kept / of}
