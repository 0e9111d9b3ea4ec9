"""What a stage says before it runs, asked as the planner asks it."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.declaration import Declaration
from compress.core.stage.stage import Stage

__all__ = ["declared", "predicted", "refused"]


def declared(stage: Stage, sketch: Sketch) -> Declaration:
    """The declaration of a stage that names no other."""
    return stage.declare(sketch, {})


def refused(stage: Stage, sketch: Sketch) -> str | None:
    """Why the stage cannot work on such a model, or None."""
    return declared(stage, sketch).why_not(sketch, stage=stage.name)


def predicted(stage: Stage, bundle: Bundle) -> Bundle:
    """The bundle after what the stage declares; it is changed in place."""
    return declared(stage, bundle.sketch()).applied(bundle)
