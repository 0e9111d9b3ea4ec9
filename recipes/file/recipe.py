"""A recipe: a model, a task, stages, what to measure. The file and the Python value are the same thing.

No torch at import: the stages and the task are imported when the first recipe is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from compress.core.errors import InputError, clipped
from compress.core.values import Fraction, Name, Positive, Settings
from recipes.file.depth import DEEPEST, check_depth
from recipes.file.locate import Late, field_type, set_at
from recipes.file.mistakes import mistakes
from recipes.file.paths import near_the_file
from recipes.file.stage_ids import by_index
from recipes.file.yaml import Document, find, parse_value, read

if TYPE_CHECKING:
    from compress.core.stage.stage import Stage
    from finetune.tasks.task import Task
    from recipes.measure.probe import Probe
else:
    Stage = Annotated[Any, Late("compress.core.stage.stage", "Stage", discover="recipes.file.catalogue:import_stages")]
    Task = Annotated[Any, Late("finetune.tasks.task", "Task")]
    Probe = Annotated[Any, Late("recipes.measure.probe", "Probe")]

__all__ = ["Budget", "Origin", "Packaged", "Recipe", "memory_option"]

_SIZE = re.compile(r"\s*[0-9]*\.?[0-9]+\s*[KMGT]?I?B\s*", re.IGNORECASE)
_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9.]+ ?[KMGT]?i?B$"}]}


def _whole_size(value: Any) -> Any:
    """The text as it is, where all of it is a size: `ByteSize` alone reads `1.2.3GB` as 1 byte and `4TB!` as 4 TB."""
    if isinstance(value, str) and not _SIZE.fullmatch(value):
        raise ValueError("not a size; write a number and a unit: 17MB (10^6), 512MiB (2^20)")
    return value


Bytes = Annotated[
    ByteSize, BeforeValidator(_whole_size), AfterValidator(int), Field(ge=1, lt=2**63), WithJsonSchema(_SIZE_SCHEMA)
]
"""`17MB` is 17,000,000 and `16MiB` 2^24."""


def memory_option(text: str) -> int:
    """Bytes of a size in text, as in `--memory 4GB`.

    Raises:
        InputError: it is no size.
    """
    try:
        return TypeAdapter(Bytes).validate_python(text)
    except ValidationError as error:
        raise InputError(
            "--memory is no size", given=text, advice="write a number and a unit: 4GB (10^9), 512MiB (2^20)"
        ) from error


def _unlike(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is given twice")
    return seeds


class Packaged(Settings):
    """A model directory inside an installed Python package."""

    package: str = Field(description="the import name of the package")
    path: str = Field(".", description="the directory, from the package's own")


class Budget(Settings):
    """Budget that one row must meet; a line that this split of the data cannot decide is reported as such.

    The row is the one with the best metric on *select* among those that meet size and speed-up, unless it is named.
    """

    size: Bytes | None = Field(
        None, description="bytes of the model's files, or with a unit: 17MB (10^6), 16MiB (2^20)"
    )
    speedup: Positive | None = Field(None, description="times the speed of the baseline in PyTorch fp32")
    metric_drop: Fraction | None = Field(None, description="largest loss of the task's metric; 0.02 is two points")
    row: Name | None = Field(None, description="id of the stage that must meet it; chosen on *select* unless named")
    training_memory: Bytes | None = Field(
        None, description="peak of every training stage, without what the process held before: 4GB"
    )


@dataclass(frozen=True)
class Origin:
    """Source of a recipe's data, for messages; no part of its value, so all origins are equal."""

    document: Document | None = None
    options: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0

    def line(self, words: Sequence[Any]) -> int:
        return self.document.locate(tuple(words))[1] if self.document else 0

    def where(self, words: Sequence[Any]) -> str:
        """`file:line: path.in.the.recipe`, or the --set option that gave the value."""
        texts = tuple(str(word) for word in words)
        for path, option in self.options.items():
            new = path[: len(texts)] == texts and not (self.document and self.document.holds(words))
            if texts[: len(path)] == path or new:
                return f"--set {clipped(option)}"
        words_text = ".".join(texts)
        if self.document is None:
            return words_text or "recipe"
        file, line = self.document.locate(tuple(words))
        return f"{file}:{line}: {words_text}" if words_text else f"{file}:{line}"


class Recipe(Settings):
    """A model, a task, and the stages that make it smaller."""

    name: Name = Field(description="lower-case letters, digits, '-', '_' and '.'")
    model: str | Packaged = Field(description="a hub id, a directory, or {package: ..., path: ...}")
    task: Task = Field(description="what the model is for, and its data")
    seeds: Annotated[tuple[Annotated[int, Field(strict=True, ge=0, lt=2**32)], ...], AfterValidator(_unlike)] = Field(
        (0,), min_length=1, description="stages that draw random numbers are repeated for each"
    )
    stages: tuple[Stage, ...] = Field(
        (), max_length=1000, description="each works on the one before it, or on the one that start names"
    )
    measure: tuple[Probe, ...] = Field((), description="speed and more; size and quality are always measured")
    budget: Budget | None = None

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @classmethod
    def load(cls, reference: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """The recipe in a file, or of that name in the book.

        Args:
            reference: a path, or a name such as `quickstart`.
            overrides: `path=value`, as in `stages.distill.train.epochs=1`: a stage by its id, or by its index from 0
                and its name (`stages.1.distill.train.epochs=1`).

        Raises:
            InputError: all mistakes in one message.
        """
        file = find(reference)
        document = read(file)
        return cls._read(near_the_file(document, file, stages=field_type(cls.model_fields["stages"])), overrides)

    @classmethod
    def parse(cls, data: Any, where: str | None = None, overrides: Sequence[str] = ()) -> Recipe:
        """The recipe in plain data; `where` is a name for messages."""
        return cls._read(Document(data, where or "recipe"), overrides)

    @classmethod
    def _read(cls, document: Document, overrides: Sequence[str]) -> Recipe:
        data = document.data
        if not isinstance(data, dict):
            given = "nothing" if data is None else data
            raise InputError("a recipe is a mapping: name, model, task, stages", where=document.file, given=given)
        options = {}
        for option in overrides:
            path, data = _override(cls, data, option)
            options[path] = option
        check_depth(data, file=document.file)
        origin = Origin(document, options)
        try:
            recipe = cls.model_validate(data)
        except ValidationError as error:
            raise mistakes(cls, data, error, where=origin.where, line=origin.line) from error
        recipe._origin = origin
        return recipe

    def where(self, *words: Any) -> str:
        """Where `words` stand in the file that this recipe came from, for messages."""
        return self._origin.where(words)

    @property
    def reference(self) -> str | dict[str, str]:
        """The model, as `compress.core.checkpoint.save.resolve` takes it."""
        return self.model if isinstance(self.model, str) else self.model.model_dump()


def _override(root: type[Recipe], data: Any, option: str) -> tuple[tuple[str, ...], Any]:
    """Path of the option, and `data` with its value in it."""
    path, equals, text = option.partition("=")
    parts = tuple(path.strip().split("."))
    if not equals or not all(parts) or len(parts) > DEEPEST:
        raise InputError(
            "not a setting", where=f"--set {clipped(option)}", advice="write --set path=value, as in --set seeds=[1]"
        )
    try:
        parts = by_index(data, parts)
        return parts, set_at(root, data, parts, parse_value(text))
    except InputError as error:
        error.where = f"--set {clipped(option)}"
        raise
