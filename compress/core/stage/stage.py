"""Stages: the steps of a compression pipeline."""

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
    """Stage: one step of a compression pipeline, as a frozen value of its settings.

    `requires` is called before any model is opened, `declare` with a sketch of the model that comes in, `check` with
    the model after the declared change, without weights; then `run` does the work.
    """

    last: ClassVar[tuple[str, ...]] = ()
    """Settings of a parent that are listed after the class's own."""

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
        """Requirements besides a model: data, files, packages, other stages."""
        return Requires()

    @abstractmethod
    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        """Dry run on such a model; where it cannot work, the declaration has a `refusal`, and nothing is raised.

        Args:
            sketch: of the model that comes in.
            named: field -> declaration of the earlier stage that the field names (`Requires.names`).
        """

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        """Raise `InputError` where the stage cannot work with such a model on the task.

        Args:
            bundle: the model after the declared change; it has no weights yet.
            task: the one of the recipe.
        """

    @abstractmethod
    def run(self, bundle: Bundle, ctx: Context) -> Bundle | Artifact:
        """The result: another model, or an exported directory.

        Args:
            bundle: belongs to the stage; it may be changed in place.
            ctx: task, data, training and earlier stages.
        """
