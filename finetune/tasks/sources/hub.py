"""Rows of a dataset of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from compress.core.errors import InputError, UnknownName
from finetune.tasks.source import Source, quiet

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Hub"]


class Hub(Source):
    """A dataset of the hub, by its id; `config` where it has several."""

    id: str = Field(description="as in `nyu-mll/glue`")
    config: str | None = Field(None, description="as in `sst2`; the only one unless given")

    def splits(self) -> tuple[str, ...]:
        from datasets import get_dataset_split_names

        try:
            names = get_dataset_split_names(self.id, self.config)
        except Exception as error:  # offline, missing, gated, or a wrong config: `datasets` has no common parent
            raise self._unreachable(error) from error
        return tuple(sorted(names, key=lambda name: (name != "train", name)))

    def rows(self, split: str) -> Dataset:
        from datasets import load_dataset

        if split not in self.splits():
            raise UnknownName("split", split, self.splits(), where=self.describe())
        with quiet():
            try:
                return load_dataset(self.id, self.config, split=split)
            except Exception as error:
                raise self._unreachable(error) from error

    def describe(self) -> str:
        return f"{self.id} ({self.config})" if self.config else self.id

    def _unreachable(self, error: Exception) -> InputError:
        reason = str(error).strip().splitlines()
        return InputError(
            f"the dataset {self.describe()!r} cannot be opened: {reason[0] if reason else type(error).__name__}",
            where="task.data",
            advice="a hub id needs network access once (and a config where it has several); a path must exist",
        )
