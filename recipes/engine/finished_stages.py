"""Finished stages of a run, and what later stages find among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.file.stage_ids import SOURCE
from recipes.stage_record import StageRecord

if TYPE_CHECKING:
    import torch

    from compress.core.model.bundle import Bundle
    from recipes.engine.folder import Folder
    from recipes.plan.tree import Plan

__all__ = ["Done", "Finished"]


@dataclass
class Done:
    """A finished stage on disk."""

    folder: Folder
    record: StageRecord
    reused: bool

    @property
    def directory(self) -> Path:
        return self.folder.final

    @property
    def identity(self) -> str:
        return self.record.identity

    def bundle(self, device: torch.device | str = "cpu") -> Bundle:
        from finetune.delta.opening import open_directory

        return open_directory(self.directory, device=device)


@dataclass
class Finished:
    """Finished stages by id and seed; a stage that draws no random numbers is finished once, for all seeds."""

    plan: Plan
    _done: dict[tuple[str, int | None], Done] = field(default_factory=dict)

    def of(self, id: str, seed: int | None) -> Done | None:
        """The stage as a later one with this seed finds it."""
        return self._done.get(self._key(id, seed))

    def keep(self, done: Done) -> None:
        self._done[done.record.id, done.record.seed] = done

    def forget(self, id: str, seed: int | None) -> Done | None:
        """The stage, which is no longer there to stand on."""
        return self._done.pop((id, seed), None)

    def models(self, seed: int | None) -> dict[str, Callable[[], Bundle]]:
        """Stage id -> what opens it."""
        return {id: done.bundle for id, done in self._visible(seed).items() if done.record.is_model}

    def places(self, seed: int | None) -> dict[str, Path]:
        """Stage id -> its directory."""
        return {id: done.directory for id, done in self._visible(seed).items()}

    def best(self, start: str, seed: int | None, *, device: torch.device) -> tuple[str, Bundle] | None:
        """Of `start` and what it stands on, the stage with the best value on *select*; of equals, the first.

        Args:
            start: id of the stage.
            seed: of the run.
            device: where its model is opened.
        """
        above = [SOURCE, *(node.id for node in self.plan.chain(start))]
        found = [(id, done) for id in above if (done := self.of(id, seed))]
        valued = [(done.record.select_value, id, done) for id, done in found if done.record.select_value is not None]
        if not valued:
            return None
        _, id, done = max(valued, key=lambda each: each[0])
        return id, done.bundle(device)

    def opener(self, start: str, seed: int | None, *, device: torch.device) -> Callable[[], tuple[str, Bundle] | None]:
        """`best`, asked when it is needed."""
        return partial(self.best, start, seed, device=device)

    def _visible(self, seed: int | None) -> dict[str, Done]:
        return {id: done for (id, drawn), done in self._done.items() if drawn in (None, seed)}

    def _key(self, id: str, seed: int | None) -> tuple[str, int | None]:
        if id == SOURCE:
            return id, None if self.plan.source_head_trained else seed
        return id, self.plan.seed_of(id, seed)
