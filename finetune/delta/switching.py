"""Switching between several deltas on one base in memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

from compress.core.checkpoint.resolve import Reference, resolve
from compress.core.errors import InputError, UnknownName
from compress.core.model.bundle import Bundle
from finetune.delta.opening import check, open_base, put_on
from finetune.delta.record import base_fingerprint, read_record

__all__ = ["Deltas", "twin"]


class Deltas:
    """Deltas on one base that stays in memory; `use` switches between them.

        deltas = Deltas("sentence-transformers/all-MiniLM-L6-v2")
        deltas.add("sentiment", "runs/sst2/stages/02-bitfit")
        deltas.add("topics", "runs/topics/stages/02-lora")
        deltas.use("sentiment").model(...)

    Each delta has modules of its own around the base's tensors, which are there once; so switching costs nothing, and
    two of them may be used at the same time. The head and the names of the labels are the delta's: tasks of different
    numbers of labels share one base. A delta on a quantized base brings the quantized tensors once more.

    Args:
        base: a bundle (stays as it is), a hub id, a directory, or {package, path}. What is no bundle is opened when the
            first delta is added, with a head like that delta's.
    """

    def __init__(self, base: Bundle | Reference):
        self.active: str | None = None
        self._base: Bundle | None = None
        self._reference: Reference | None = None
        if isinstance(base, Bundle):
            self._keep(base)
        else:
            resolve(base)  # a name that is none is told now, not when the first delta comes
            self._reference = base
        self._known: dict[str, Bundle] = {}

    @property
    def base(self) -> Bundle:
        """The base, without a delta.

        Raises:
            InputError: it is to be opened like the first delta, and none was added yet.
        """
        if self._base is None:
            raise InputError(
                "the base is opened with the first delta, and none was added",
                given=self._reference,
                advice="add a delta, or give the base as a bundle",
            )
        return self._base

    def add(self, name: str, directory: Path | str) -> None:
        """Read a delta, under a name of one's own.

        Args:
            name: for `use`.
            directory: what `save_delta` wrote, or a stage's directory of a run.

        Raises:
            InputError: there is no delta, or it is of another base.
        """
        record = read_record(directory)
        if self._base is None and self._reference is not None:
            self._keep(open_base(self._reference, record))
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

    def _keep(self, base: Bundle) -> None:
        self._base, self._fingerprint = base, base_fingerprint(base.model, base.family)


def twin(bundle: Bundle) -> Bundle:
    """Bundle with its own modules and shared tensors."""
    shared = {id(t): t for t in (*bundle.model.parameters(), *bundle.model.buffers())}
    return replace(bundle, model=copy.deepcopy(bundle.model, memo=shared), masks=dict(bundle.masks))
