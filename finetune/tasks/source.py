"""Where the rows of a task come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from compress.core.choice import Choice
from compress.core.files import named_path
from finetune.tasks.files.columns import Columns

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Source", "open_source", "quiet"]


class Source(Choice):
    """Named splits of rows. A member is one file in `finetune/tasks/sources`; `data: <name>` in a recipe picks it."""

    home: ClassVar[str] = "finetune.tasks.sources"
    text: ClassVar[tuple[str, ...]] = ("text",)
    """The text columns where the task names none."""
    label: ClassVar[str] = "label"
    """The label column where the task names none."""

    def splits(self) -> tuple[str, ...]:
        """The names of the splits, `train` first."""
        raise NotImplementedError

    def rows(self, split: str) -> Dataset:
        """The rows of one of the `splits`, with any columns.

        Raises:
            InputError: the rows cannot be read; the message names the file.
        """
        raise NotImplementedError

    def read(self, split: str, wanted: tuple[str, ...]) -> Columns:
        """The `wanted` columns of one of the `splits`; those that are not there are left out.

        Args:
            split: its name.
            wanted: names of columns.

        Raises:
            InputError: the rows cannot be read; the message names the file.
        """
        rows = self.rows(split)
        there = [name for name in wanted if name in rows.column_names]
        names = {name: getattr(rows.features[name], "names", None) for name in there}
        return Columns(
            tuple(rows.column_names),
            {name: list(rows[name]) for name in there},
            class_names={name: tuple(found) for name, found in names.items() if found},
        )

    def place(self, split: str) -> str:
        """Where a split lies, for messages: a file, or the source and the split."""
        return f"{self.describe()}, split {split}"

    def describe(self) -> str:
        """What stands in messages and in the report."""
        return self.name


def open_source(data: Any, config: str | None = None) -> Source:
    """The source that a recipe's `data:` means: a member's form, else an existing path, else a hub id."""
    from finetune.tasks.files.read import looks_like_a_path
    from finetune.tasks.sources.hub import Hub
    from finetune.tasks.sources.local import Local

    if isinstance(data, Source):
        return data
    if not isinstance(data, str) or data in Source.members():
        return Source.parse(data)
    if named_path(data).exists() or looks_like_a_path(data):
        return Local(path=data)
    return Hub(id=data, config=config)


class quiet:
    """Silence the progress bars of `datasets` inside a `with`, and leave its setting as it was."""

    def __enter__(self) -> None:
        from datasets import utils

        self.were_disabled = utils.are_progress_bars_disabled()
        utils.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        from datasets import utils

        if not self.were_disabled:
            utils.enable_progress_bars()
