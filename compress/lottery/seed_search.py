"""Iterative magnitude pruning under one seed, with its controls; an interrupted search resumes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.core.errors import InputError, StageFailed
from compress.core.model.masks import Masks
from compress.lottery.bench import Bench
from compress.lottery.controls.control import Control
from compress.lottery.rewinds.rewind import Caught, Rewind
from compress.lottery.search import Choose, State, find_ticket, to_start
from compress.lottery.ticket import Ticket, read_ticket, save_ticket

__all__ = ["RESULT", "SeedSearch", "ticket_file"]

RESULT = "result"
"""What the weights of the stage's result are kept as."""


@dataclass
class SeedSearch:
    """One seed's rounds.

    Attributes:
        bench: trains the model and keeps the answers.
        seed: of the order of the rows, of dropout, and of what the controls draw.
        rounds: how often something is removed.
        choose: which weights stay after a round.
        ones: masks that keep everything.
        rewind: where each round begins.
        tickets: directory of the ticket files.
        model: fingerprint of the weights that the search begins with.
        keep: the round whose trained weights are kept for the stage's result, or None.
        facts: what each ticket says of the search.
    """

    bench: Bench
    seed: int
    rounds: int
    choose: Choose
    ones: Masks
    rewind: Rewind
    tickets: Path
    model: str
    keep: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    trained: int = 0

    def run(self, start: State, controls: Sequence[Control]) -> None:
        """All trainings of this seed; each leaves its answers on the bench, and each round its ticket.

        Args:
            start: every tensor of the model as it came; the bench's model is put there first.
            controls: each is trained at every size that the ticket has.
        """
        to_start(self._model, start)
        self.trained = 0
        found = find_ticket(
            self._model, self._train, rounds=self.rounds, choose=self._chosen, masks=self.ones, rewind=self._back
        )
        # One at a time, since they are large.
        self._train(self._model, deque(found, maxlen=1).pop())
        self.bench.forget(self._seed)
        for control in controls:
            self._control(control, start)

    def ticket(self, number: int) -> Ticket:
        """The ticket of a round that is over."""
        return read_ticket(self._ticket_file(number))

    def name(self, number: int, line: str = "ticket") -> str:
        """What the answers of a round are kept as; round 0 is the full model's.

        Args:
            number: of the round.
            line: `ticket`, or the name of a control.
        """
        return f"{self._seed}/{'full' if number == 0 else f'{line}-{number:02d}'}"

    @property
    def _seed(self) -> str:
        return f"seed-{self.seed}"

    @property
    def _model(self) -> nn.Module:
        return self.bench.bundle.model

    def _train(self, model: nn.Module, masks: Masks) -> None:
        number, self.trained = self.trained, self.trained + 1
        if self._over(number) and (self.rewind.goes_back or self._over(number + 1) or number == self.rounds):
            return
        caught = self.rewind.watch() if number == 0 else None
        self.bench.train(self.name(number), masks, seed=self.seed, hooks=(caught,) if caught else ())
        if number == 0:
            self._keep_start(caught)
        if number == self.keep:
            self.bench.keep(RESULT, dict(model.state_dict()))

    def _over(self, number: int) -> bool:
        """Whether a round's training is done and what follows from it is written down."""
        last = number >= self.rounds
        kept = number != self.keep or self.bench.has(RESULT)
        return self.bench.has(self.name(number)) and kept and (last or self._ticket_file(number + 1).is_file())

    def _chosen(self, model: nn.Module, masks: Masks, number: int) -> Masks:
        file = self._ticket_file(number)
        if not file.is_file():
            found = self.choose(model, masks, number)
            facts = {**self.facts, "seed": self.seed, "round": number}
            save_ticket(Ticket.of(self.bench.bundle, found, model=self.model, **facts), file)
        # Where weights do not go back, the next round's training begins with those of this one.
        if self.rewind.goes_back:
            self.bench.forget(self.name(number - 1))
        elif number > 1:
            self.bench.forget(self.name(number - 2))
        return self.ticket(number).masks_named(self.bench.bundle)

    def _back(self, model: nn.Module, start: State) -> None:
        if self.rewind.goes_back:
            to_start(model, self._start(start))

    def _start(self, start: State) -> State:
        """The weights that a round, or a control, begins with."""
        name = f"{self._seed}/start"
        return self.bench.kept(name) if self.bench.has(name) else start

    def _keep_start(self, caught: Caught | None) -> None:
        if caught is not None and not caught.state:
            raise StageFailed(
                f"the training ended after {caught.done} steps, before the step to rewind to",
                given=caught.step,
                advice="choose an earlier step, or train for longer",
            )
        if caught is not None:
            self.bench.keep(f"{self._seed}/start", caught.state)
        elif not self.rewind.goes_back:
            self.bench.keep(f"{self._seed}/start", dict(self._model.state_dict()))

    def _control(self, control: Control, start: State) -> None:
        for number in range(1, self.rounds + 1):
            name = self.name(number, control.name)
            if self.bench.has(name):
                continue
            masks, generator = self.ticket(number).masks_named(self.bench.bundle), self._generator(number)
            begun = control.start(self.bench.bundle, self._start(start), tuple(masks), generator)
            to_start(self._model, begun)
            self.bench.train(name, control.masks(masks, generator), seed=self.seed)
            self.bench.forget(name)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + number)

    def _ticket_file(self, number: int) -> Path:
        return self.tickets / self._seed / f"round-{number:02d}.safetensors"


def ticket_file(tickets: Path, *, seed: int | None = None, number: int | None = None) -> Path:
    """The file of a ticket that a search left below `tickets`.

    Args:
        seed: of the search; the smallest unless given.
        number: of the round; the last unless given.

    Raises:
        InputError: there is none; the message says which there are.
    """
    seeds = sorted(tickets.glob("seed-*"), key=_number)
    place = seeds[0] if seeds and seed is None else tickets / f"seed-{seed}"
    files = sorted(place.glob("round-*.safetensors"), key=_number)
    file = files[-1] if files and number is None else place / f"round-{number or 0:02d}.safetensors"
    if file not in files:
        found = (
            f"there are seeds {', '.join(path.name.removeprefix('seed-') for path in seeds)}"
            if seeds
            else "it left none"
        )
        rounds = f", rounds 1 to {len(files)}" if files else ""
        raise InputError(f"no such ticket was found: {found}{rounds}", given=str(file), advice="name one of them")
    return file


def _number(path: Path) -> int:
    """`seed-3` -> 3, `round-07.safetensors` -> 7."""
    return int(path.name.split(".")[0].split("-")[1])
