"""The good, a random and a bad subnetwork of one seed: pruned from its full model without training, then retrained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.core.errors import InputError
from compress.lottery.bench import Bench
from compress.lottery.exhibits import KINDS
from compress.lottery.search import State, to_start
from compress.lottery.seed_search import RESULT
from compress.lottery.ticket import Ticket, read_ticket, save_ticket
from compress.lottery.units import Importance, Units, all_units, best, importance, unit_masks, units_left

__all__ = ["SeedSubnetworks", "bad_units", "random_units"]


@dataclass
class SeedSubnetworks:
    """One seed of the study.

    Attributes:
        bench: trains the model and keeps the answers.
        seed: of the order of the rows, of dropout, and of the random subnetwork.
        keeps: share of the full model's metric that the good one must keep when it is only cut.
        heads, networks: how many of each are removed in a step.
        batches: of train, for each importance.
        tickets: directory of the ticket files.
        model: fingerprint of the weights that the study begins with.
        keep: whether the good subnetwork's trained weights are kept for the stage's result.
    """

    bench: Bench
    seed: int
    keeps: float
    heads: int
    networks: int
    batches: int
    tickets: Path
    model: str
    keep: bool = False

    def run(self, start: State) -> None:
        """Every training and cut of this seed; what an earlier run has done is taken up.

        Args:
            start: every tensor of the model as it came.
        """
        to_start(self.bench.bundle.model, start)
        if not self.bench.has(self.name("weights")):
            self.bench.train(self.name("full"), {}, seed=self.seed)
            self.bench.keep(self.name("weights"), dict(self.bench.bundle.model.state_dict()))
        if not all(self._ticket_file(kind).is_file() for kind in KINDS):
            self._choose()
        for kind in KINDS:
            self._measure(kind, start)

    def name(self, what: str) -> str:
        """What the answers of `full`, `good-cut`, `good-trained` and so on are kept as."""
        return f"seed-{self.seed}/{what}"

    def ticket(self, kind: str) -> Ticket:
        """The good, random or bad one, once it is chosen."""
        return read_ticket(self._ticket_file(kind))

    def units(self, kind: str) -> Units:
        """Its heads and networks."""
        return units_left(self.bench.bundle, self.ticket(kind).masks_named(self.bench.bundle))

    def _choose(self) -> None:
        good, gone, scores = self._good()
        whole = all_units(self.bench.bundle)
        chosen = {
            "good": good,
            "random": random_units(whole, good, torch.Generator().manual_seed(self.seed)),
            "bad": bad_units(good, gone, scores),
        }
        for kind, units in chosen.items():
            masks = unit_masks(self.bench.bundle, units)
            facts: dict[str, Any] = {"kind": kind, "seed": self.seed, "keeps": self.keeps}
            save_ticket(Ticket.of(self.bench.bundle, masks, model=self.model, **facts), self._ticket_file(kind))

    def _good(self) -> tuple[Units, list[Units], Importance]:
        """The smallest that keeps enough, what was removed step by step, and the importance of its units."""
        bench, left = self.bench, all_units(self.bench.bundle)
        gone: list[Units] = []
        to_start(bench.bundle.model, bench.kept(self.name("weights")))
        bench.put_on({})
        floor = self.keeps * self._score()
        scores = importance(bench.bundle, bench.ctx, batches=self.batches)
        while True:
            heads, networks = max(1, len(left.heads) - self.heads), max(1, len(left.networks) - self.networks)
            fewer = best(left, scores, heads=heads, networks=networks)
            bench.put_on(unit_masks(bench.bundle, fewer))
            if fewer == left or self._score() < floor:
                return left, gone, scores
            gone.append(_without(left, fewer))
            left, scores = fewer, _updated(scores, importance(bench.bundle, bench.ctx, batches=self.batches), fewer)

    def _score(self) -> float:
        task = self.bench.ctx.task
        if task is None:
            raise InputError("subnetworks are judged on a task, and none was given")
        return task.score(self.bench.asked(), self.bench.targets)

    def _measure(self, kind: str, start: State) -> None:
        masks = self.ticket(kind).masks_named(self.bench.bundle)
        cut, trained = self.name(f"{kind}-cut"), self.name(f"{kind}-trained")
        if not self.bench.has(cut):
            to_start(self.bench.bundle.model, self.bench.kept(self.name("weights")))
            self.bench.put_on(masks)
            self.bench.ask(cut)
        wanted = self.keep and kind == "good"
        if not self.bench.has(trained) or (wanted and not self.bench.has(RESULT)):
            to_start(self.bench.bundle.model, start)
            self.bench.train(trained, masks, seed=self.seed)
            if wanted:
                self.bench.keep(RESULT, dict(self.bench.bundle.model.state_dict()))
        self.bench.forget(trained)

    def _ticket_file(self, kind: str) -> Path:
        return self.tickets / f"seed-{self.seed}" / f"{kind}.safetensors"


def random_units(whole: Units, good: Units, generator: torch.Generator) -> Units:
    """As many heads and networks as the good one has, drawn from all.

    Args:
        whole: all heads and networks of the model.
        good: the good subnetwork.
        generator: draws them.
    """
    heads: Tensor = torch.randperm(len(whole.heads), generator=generator)[: len(good.heads)]
    networks = torch.randperm(len(whole.networks), generator=generator)[: len(good.networks)]
    return Units(
        tuple(sorted(whole.heads[index] for index in heads.tolist())),
        tuple(sorted(whole.networks[index] for index in networks.tolist())),
    )


def bad_units(good: Units, gone: list[Units], scores: Importance) -> Units:
    """As many heads and networks as the good one has: those that were removed first, then the least important.

    Args:
        gone: what each step removed, the first step first.
        scores: importance of every unit when it was last measured.
    """
    steps = [*gone, good]
    heads = [head for step in steps for head in sorted(step.heads, key=lambda head: scores.heads[head])]
    networks = [block for step in steps for block in sorted(step.networks, key=lambda block: scores.networks[block])]
    return Units(tuple(sorted(heads[: len(good.heads)])), tuple(sorted(networks[: len(good.networks)])))


def _without(units: Units, fewer: Units) -> Units:
    heads, networks = set(fewer.heads), set(fewer.networks)
    return Units(
        tuple(head for head in units.heads if head not in heads),
        tuple(block for block in units.networks if block not in networks),
    )


def _updated(before: Importance, now: Importance, left: Units) -> Importance:
    """The importance of units that are left as it is now, of the others as it was when they were removed."""
    heads, networks = set(left.heads), set(left.networks)
    return Importance(
        {head: now.heads[head] if head in heads else value for head, value in before.heads.items()},
        {block: now.networks[block] if block in networks else value for block, value in before.networks.items()},
    )
