"""A stage that is not there yet."""

from __future__ import annotations

from compress.core.model.sketch import Sketch
from compress.core.stage.fixed import FixedChange
from compress.core.surgery.changes import KeepLayers


class Newcomer(FixedChange):
    """Cut the last layer of the model's first stack."""

    def refusal(self, sketch: Sketch) -> str | None:
        return sketch.family.refuses("layers", stage=self.name)

    def change(self, sketch: Sketch) -> KeepLayers:
        return KeepLayers(kept=tuple(range(sketch.layers - 1)), of=sketch.layers)
