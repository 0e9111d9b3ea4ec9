"""Switching between several deltas on one base in memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

from compress.core.errors import UnknownName
from compress.core.model.bundle import Bundle
from finetune.delta.opening import check, put_on
from finetune.delta.record import base_fingerprint, read_record

__all__ = ["Deltas", "twin"]


class Deltas:
    """Deltas on one base that stays in memory; `use` switches between them.

        deltas = Deltas(base)
        deltas.add("sentiment", "runs/sst2/stages/02-bitfit")
        deltas.use("sentiment").model(...)

    Each delta has modules of its own around the base's tensors, which are there once; so switching costs nothing, and
    two of them may be used at the same time. A delta on a quantized base brings the quantized tensors once more.

    Args:
        base: stays as it is.
    """

    def __init__(self, base: Bundle):
        self.base = base
        self.active: str | None = None
        self._fingerprint = base_fingerprint(base.model, base.family)
        self._known: dict[str, Bundle] = {}

    def add(self, name: str, directory: Path | str) -> None:
        """Read a delta, under a name of one's own.

        Raises:
            InputError: it is of another base, or of other labels than the base has.
        """
        record = read_record(directory)
        check(record, self.base, self._fingerprint)
        self._known[name] = put_on(twin(self.base), record, Path(directory))

    def use(self, name: str | None) -> Bundle:
        """The base with this delta, and none of the last one's; None: the base as it was given.

        Raises:
            UnknownName: no delta of that name was added.
        """
        if name is not None and name not in self._known:
            raise UnknownName("delta", name, self._known)
        self.active = name
        return self.base if name is None else self._known[name]


def twin(bundle: Bundle) -> Bundle:
    """Bundle with its own modules and shared tensors."""
    shared = {id(t): t for t in (*bundle.model.parameters(), *bundle.model.buffers())}
    return replace(bundle, model=copy.deepcopy(bundle.model, memo=shared), masks=dict(bundle.masks))
