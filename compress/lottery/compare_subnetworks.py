"""A study: is the good subnetwork better than a random and a bad one of its size, when cut and when trained again?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration, Training
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from compress.core.values import Count, Share
from compress.lottery.bench import Bench, workspace
from compress.lottery.change import KeepShare
from compress.lottery.exhibits import FACT, KINDS, study_exhibits
from compress.lottery.findings import about, judge_of, overlaps
from compress.lottery.refusals import forbidden, no_units
from compress.lottery.search import state_of, to_start
from compress.lottery.seed_search import RESULT
from compress.lottery.seed_subnetworks import SeedSubnetworks
from compress.lottery.seeds import Seeds
from compress.prune.weights.mask import Mask

__all__ = ["CompareSubnetworks"]


class CompareSubnetworks(Stage):
    """The good, a random and a bad subnetwork of heads and feed-forward networks, each cut and each trained again.

    The full model is trained; then its least important heads and networks are removed step by step, their importance
    measured anew each time, without training. The good subnetwork is the smallest that keeps the share `keeps` of the
    full model's metric. The random one has as many heads and networks, drawn; the bad one has those that went first.
    Each is measured as it was cut out of the trained model, and again when it is trained alone from where the full
    model began. A network that goes leaves the bias of its last linear, and its residual.

    Repeated for each of `seeds`, and judged on *select*. The result is the good subnetwork of the first seed, trained;
    all of them lie in the stage's directory below `tickets/`.

    References:
        Prasanna et al. 2020, arXiv 2005.00561; Michel et al. 2019, arXiv 1905.10650.
    """

    keeps: Share = Field(0.9, description="share of the full model's metric that the good one keeps when only cut")
    heads: Share = Field(0.1, description="share of all heads that goes in each step")
    networks: Count = Field(1, description="how many feed-forward networks go in each step")
    batches: Count = Field(64, description="batches of train that importance is taken from, in each step")
    seeds: Seeds = Field((0, 1, 2), description="the study is repeated for each")
    train: TrainPlan = Field(TrainPlan(), description="how long and how fast, each time")

    def requires(self) -> Requires:
        return Requires(data=frozenset({"rows", "labels"}))

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        return Declaration(
            refusal=no_units(sketch, self.name),
            forbids=forbidden(sketch),
            adds=frozenset({"head_trained"}),
            change=KeepShare(remaining=1.0),
            training=Training(self._plan()),
            remarks=sketch.first_stack_alone,
            uncertain=f"how many heads and networks keep {self.keeps:.0%} of the metric, only the search says",
        )

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        with workspace(ctx) as place:
            bench = Bench(bundle, ctx, self._plan(), place / "bench")
            start, studies = state_of(bundle.model), self._studies(bench, place)
            for study in studies:
                study.run(start)
            found = self._found(studies, bench)
            ctx.note(**{FACT: found})
            ctx.show(*study_exhibits(found))
            to_start(bundle.model, bench.kept(RESULT))
            masks = studies[0].ticket("good").masks_named(bundle)
        bundle.masks, bundle.fresh = {}, frozenset()
        bundle.states = bundle.states | {"head_trained"}
        return bundle.changed_by(Mask.of(masks))

    def _plan(self) -> TrainPlan:
        return self.train.over(DEFAULT_PLAN)

    def _studies(self, bench: Bench, place: Path) -> list[SeedSubnetworks]:
        bundle, ctx = bench.bundle, bench.ctx
        tickets = ctx.left / "tickets" if ctx.left else place / "tickets"
        model = base_fingerprint(bundle.model, bundle.family)
        step = max(1, round(self.heads * sum(bundle.sketch().block_heads)))
        return [
            SeedSubnetworks(
                bench, seed, self.keeps, step, self.networks, self.batches, tickets, model, keep=seed == self.seeds[0]
            )
            for seed in self.seeds
        ]

    def _found(self, studies: list[SeedSubnetworks], bench: Bench) -> dict[str, Any]:
        """The facts of the report."""
        judge = judge_of(bench, [study.name("full") for study in studies])
        found: dict[str, Any] = {}
        for kind in KINDS:
            units, tickets = [study.units(kind) for study in studies], [study.ticket(kind) for study in studies]
            found[kind] = {
                "heads": [len(each.heads) for each in units],
                "networks": [len(each.networks) for each in units],
                "remaining": [ticket.remaining for ticket in tickets],
            }
            for state in ("cut", "trained"):
                answers = [bench.answers(study.name(f"{kind}-{state}")) for study in studies]
                found[kind][state] = judge.against_full(answers)
        by_seed = {study.seed: study for study in studies}
        return {
            **about(bench, judge, self.seeds),
            "keeps": self.keeps,
            "weights": studies[0].ticket("good").size,
            "subnetworks": found,
            "overlap": overlaps(self.seeds, (1,), lambda seed, _: by_seed[seed].ticket("good").masks),
        }
