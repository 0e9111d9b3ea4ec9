"""The parent of the stages that damage a model: what they decide, they do, and then the model recovers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.stage import Stage
from compress.core.training.plan import TrainPlan
from compress.distill.recover import MaybeRecover, Recover, heal

__all__ = ["Decider", "Recovering"]


class Decider(Protocol):
    """What such a stage decides by: a criterion, a decomposition, an origin."""

    needs_data: ClassVar[bool]
    draws_random_numbers: ClassVar[bool]


class Recovering(Stage):
    """A stage with a recovery, which is the last of its settings."""

    recover: MaybeRecover = Field(Recover(), description="the training afterwards, or `none`")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # An inherited field stands before those of the class itself.
        cls.__pydantic_fields__["recover"] = cls.__pydantic_fields__.pop("recover")
        cls.model_rebuild(force=True)

    @property
    def decider(self) -> Decider | None:
        """The choice that `decide` asks; it may read data and draw random numbers."""
        return None

    @property
    def narrows(self) -> bool:
        """Whether the hidden states of the model become narrower."""
        return False

    @property
    def draws_random_numbers(self) -> bool:
        return self.recover is not None or (self.decider is not None and self.decider.draws_random_numbers)

    @property
    def needs_data(self) -> bool:
        return self.recover is not None or (self.decider is not None and self.decider.needs_data)

    def reads(self) -> tuple[Path, ...]:
        return self.recover.reads() if self.recover else ()

    def plan(self) -> TrainPlan | None:
        return self.recover.plan() if self.recover else None

    def refuses(self, sketch: Sketch) -> str | None:
        """Why such a model cannot recover, or None; each stage has its own reasons besides."""
        return self.recover.refuses(sketch, narrower=self.narrows) if self.recover else None

    def check_task(self, bundle: Bundle, task: object) -> None:
        if self.recover:
            self.recover.check(bundle)

    @abstractmethod
    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        """What is damaged."""

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        return self.recovered(bundle, ctx, partial(self.apply, change=self.decide(bundle, ctx)))

    def recovered(self, bundle: Bundle, ctx: Context, damage: Callable[[Bundle], Bundle]) -> Bundle:
        """What `damage` makes of the bundle, after its recovery; the teacher is asked for before."""
        teacher = None
        if self.recover and self.recover.needs_teacher:
            teacher = ctx.best() or ("the model before the cut", bundle.copy())
        damaged = damage(bundle)
        return heal(damaged, self.recover, ctx, teacher=teacher) if self.recover else damaged
