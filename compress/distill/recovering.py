"""Parent of the stages that compress and then recover: decide a change, apply it, train the model again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Protocol

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration, Training
from compress.core.stage.requires import Data, Requires
from compress.core.stage.stage import Stage
from compress.core.stage.task import TaskView
from compress.distill.recover import MaybeRecover, Recover, heal

__all__ = ["Decider", "Recovering"]


class Decider(Protocol):
    """The choice that such a stage decides by: a criterion, a decomposition, an origin."""

    needs_data: ClassVar[bool]
    draws_random_numbers: ClassVar[bool]


class Recovering(Stage):
    """A stage with recovery training, which is the last of its settings."""

    last: ClassVar[tuple[str, ...]] = ("recover",)

    recover: MaybeRecover = Field(Recover(), description="the training afterwards, or `none`")

    @property
    def decider(self) -> Decider | None:
        """The choice that `decide` asks; it may read data and draw random numbers."""
        return None

    @property
    def narrows(self) -> bool:
        """Whether the hidden size of the model becomes smaller."""
        return False

    @abstractmethod
    def damage(self, sketch: Sketch) -> Declaration:
        """The declaration of the change alone; the recovery is added to it."""

    def requires(self) -> Requires:
        decider, recover = self.decider, self.recover
        decides: frozenset[Data] = frozenset({"rows"} if decider is not None and decider.needs_data else ())
        return Requires(
            reads=recover.reads() if recover else (),
            draws=recover is not None or (decider is not None and decider.draws_random_numbers),
            data=decides | (recover.data if recover else frozenset()),
        )

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        damage = self.damage(sketch)
        recover = self.recover
        if recover is None:
            return damage
        return replace(
            damage,
            refusal=damage.refusal or recover.refuses(sketch, narrower=self.narrows),
            needs=damage.needs | recover.needs,
            otherwise={"head_trained": "recover `by: mlm`, or not at all (`recover: none`)", **damage.otherwise},
            training=Training(recover.plan(), taught=recover.needs_teacher),
        )

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        if self.recover:
            self.recover.check(bundle)

    @abstractmethod
    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        """The change to apply: which parts are pruned, at which ranks, what is shared."""

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        return self.recovered(bundle, ctx, partial(_changed, change=self.decide(bundle, ctx)))

    def recovered(self, bundle: Bundle, ctx: Context, damage: Callable[[Bundle], Bundle]) -> Bundle:
        """The bundle after `damage` and its recovery; the teacher is taken before.

        Args:
            bundle: the model before the change.
            ctx: gives the teacher, and trains.
            damage: applies the change.
        """
        teacher = None
        if self.recover and self.recover.needs_teacher:
            teacher = ctx.best() or ("the model before the cut", bundle.copy())
        damaged = damage(bundle)
        return heal(damaged, self.recover, ctx, teacher=teacher) if self.recover else damaged


def _changed(bundle: Bundle, *, change: Change) -> Bundle:
    return bundle.changed_by(change)
