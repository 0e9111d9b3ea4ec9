"""Parent of the stages with one fixed change, which the shapes of the model decide."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.declaration import UNMERGED, Declaration
from compress.core.stage.stage import Stage

__all__ = ["FixedChange"]


class FixedChange(Stage):
    """Stage without data and training: its declared change is the one that it applies."""

    needs: ClassVar[frozenset[State]] = frozenset()
    forbids: ClassVar[frozenset[State]] = UNMERGED

    @abstractmethod
    def change(self, sketch: Sketch) -> Change:
        """The change of such a model."""

    def refusal(self, sketch: Sketch) -> str | None:
        """Why it cannot work on such a model, for reasons that are not its states alone; or None."""
        return None

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        refusal = self.refusal(sketch)
        return Declaration(
            refusal=refusal,
            needs=self.needs,
            forbids=self.forbids,
            otherwise=dict.fromkeys(self.needs, "leave the stage out"),
            change=Nothing() if refusal else self.change(sketch),
        )

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        return bundle.changed_by(self.change(bundle.sketch()))
