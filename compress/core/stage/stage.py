"""One step of a recipe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.artifact import Artifact
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.stage.requires import Requires
from compress.core.stage.task import TaskView
from compress.core.values import Name

__all__ = ["Stage"]


class Stage(Choice):
    """A frozen value with four openings.

    `requires` is asked before any model is opened, `declare` with a sketch of the model that comes in, `check` with the
    model after the declared change, without weights; then `run` does the work.
    """

    last: ClassVar[tuple[str, ...]] = ()
    """Settings of a parent that stand behind the class's own."""

    id: Name | None = Field(None, description="the stage's name in the report; its own name unless given")
    start: Name | None = Field(None, description="the id of the stage to work on; the one before unless given")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.__pydantic_fields__
        for name in cls.last:
            fields[name] = fields.pop(name)
        if cls.last:
            cls.model_rebuild(force=True)

    def requires(self) -> Requires:
        """What it needs besides a model: data, files, packages, other stages."""
        return Requires()

    @abstractmethod
    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        """What it will do with such a model; a model that it cannot work on is refused there, and nothing is raised.

        Args:
            sketch: of the model that comes in.
            named: field -> what the earlier stage declared that the field names (`Requires.names`).
        """

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        """Raise `InputError` where the stage cannot work with such a model on the task.

        Args:
            bundle: the model after the declared change; it has no weights yet.
            task: the one of the recipe.
        """

    @abstractmethod
    def run(self, bundle: Bundle, ctx: Context) -> Bundle | Artifact:
        """What comes out: another model, or an exported directory.

        Args:
            bundle: belongs to the stage; it may be changed in place.
            ctx: what the stage may touch besides.
        """
