"""Insertions: changes that put trainable modules into a model, and what can be done with them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch

__all__ = ["Insertion", "insertions"]


class Insertion(Change):
    """Trainable modules added around or into those of the base, whose tensors stay under their own names.

    `apply` works on every device, the meta device too; on a real one it draws the initialization from the global random
    numbers. It inserts submodules (or forward hooks that are submodules), never functions of its own on instances, so
    that a deep copy of the model is whole.
    """

    cannot_merge: ClassVar[str | None] = None
    """Why the result is no plain model of the base's shape; None where `merge` makes it one."""

    keeps_zeros: ClassVar[bool] = False
    """Whether a weight that is zero is still zero when it is merged."""

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        """Names of the added parameters, as `model.named_parameters()` gives them."""
        raise NotImplementedError

    def merge(self, bundle: Bundle) -> None:
        """Fold what was inserted into the base's own dense weights and take it out, in place.

        The linears are plain (`nn.Linear`, `Conv1D`) again afterwards; merging equals not merging within 1e-5 in fp32.
        """
        raise NotImplementedError

    def write(self, bundle: Bundle, directory: Path, *, base: str) -> str | None:
        """Write the tuned parameters into `directory` in another library's format, where that can express them.

        Args:
            base: where the base is, for the reader.

        Returns:
            The name of the file with the tensors; None where there is no such format, and nothing was written.
        """
        return None

    def read(self, directory: Path) -> dict[str, Tensor]:
        """The tensors that `write` wrote, under the names that the model has for them."""
        raise NotImplementedError

    def refuses(self, sketch: Sketch) -> str | None:
        """Why such a model cannot take it, or None."""
        return None


def insertions(bundle: Bundle) -> tuple[Insertion, ...]:
    """Insertions that are in the model now, in the order in which they were made."""
    start = bundle.tuned.base_changes if bundle.tuned else 0
    return tuple(change for change in bundle.changes[start:] if isinstance(change, Insertion))
