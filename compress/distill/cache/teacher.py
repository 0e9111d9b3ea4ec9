"""Cache of a teacher's outputs for every row of *train*: computed once, read in each epoch.

Logits (or the task's other answers) are held in memory; hidden states in one memory-mapped file of float16: tokens x
layers x hidden size x 2 bytes (67,349 sentences of 13 tokens at hidden size 384: 0.7 GB for each layer). The cache is
keyed by row id, and its tokens are the teacher's own. `complete.json` is written last, with a key of the teacher, the
data and the precision: a stage that was interrupted and goes on finds its cache and does not compute it again, and half
a cache is not taken for a whole one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.core.answers import in_torch, read_answers
from compress.core.errors import StageFailed
from compress.core.file_marks import Mark, damaged_files, marks_of
from compress.core.files import write_whole
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, padding_mask
from compress.core.model.fingerprint import model_fingerprint
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.distill.cache.filling import ANSWERS, NoRoom, fill
from compress.distill.teacher import Taught

__all__ = ["CachedTeacher", "cached_teacher"]

MARKER = "complete.json"


class CachedTeacher:
    """A teacher whose outputs are read from a complete cache."""

    def __init__(self, directory: Path, *, layers: tuple[int, ...], reused: bool = False) -> None:
        from safetensors.torch import load_file

        rows = load_file(directory / "rows.safetensors")
        self.row_id, self.answers = rows["row_id"], read_answers(directory / ANSWERS)[0]
        self.offset, self.length = rows["offset"], rows["length"]
        self.layers, self.reused = layers, reused
        self.bytes = sum(file.stat().st_size for file in directory.iterdir())
        self.unmatched = torch.zeros(len(self.row_id), dtype=torch.bool)
        tokens = int(self.length.sum())
        self.hidden = _mapped(directory, tokens=tokens, layers=len(layers)) if layers else None

    def __call__(self, batch: Batch) -> Taught:
        device = batch["row_id"].device
        rows = self._positions(batch["row_id"].cpu())
        answers = in_torch(self.answers.take(rows.numpy()), device)
        if self.hidden is None:
            return Taught(answers)
        real = self._real(batch, rows)
        matched = real.sum(1) == self.length[rows]
        self.unmatched[rows[~matched]] = True
        states = self.hidden[self._tokens(rows[matched]).numpy()]
        padded = torch.zeros(*real.shape, *states.shape[1:])
        padded[real & matched[:, None]] = torch.from_numpy(states).float()
        return Taught(answers, dict(zip(self.layers, padded.to(device).unbind(2))), matched.to(device))

    def facts(self) -> dict[str, Any]:
        found = {"outputs": "cached", "rows": len(self.row_id), "bytes": self.bytes}
        unmatched = int(self.unmatched.sum())
        return {**found, "rows_with_other_pieces": unmatched} if unmatched else found

    def state_dict(self) -> dict[str, Tensor]:
        return {"unmatched": self.unmatched}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.unmatched = state["unmatched"].cpu()

    def _positions(self, row_id: Tensor) -> Tensor:
        rows = torch.searchsorted(self.row_id, row_id).clamp(max=len(self.row_id) - 1)
        missing = row_id[self.row_id[rows] != row_id]
        if len(missing):
            raise StageFailed("the teacher has no output for rows of this batch", given=missing.tolist())
        return rows

    def _real(self, batch: Batch, rows: Tensor) -> Tensor:
        mask = padding_mask(batch)
        return torch.ones(len(rows), int(self.length[rows].max()), dtype=torch.bool) if mask is None else mask.cpu()

    def _tokens(self, rows: Tensor) -> Tensor:
        """Indices in the file of the tokens of these rows, row after row."""
        length = self.length[rows]
        before = length.cumsum(0) - length
        return torch.arange(int(length.sum())) + torch.repeat_interleave(self.offset[rows] - before, length)


def cached_teacher(
    teacher: Bundle, ctx: Context, task: TaskView, *, directory: Path, layers: tuple[int, ...], precision: str
) -> CachedTeacher:
    """The teacher's outputs on *train*, read from `directory` where the cache is complete, else computed into it.

    Args:
        teacher: run without dropout and without gradients.
        ctx: its `batches` gives the rows.
        task: reads the answers (logits, spans, vectors) out of the teacher's outputs.
        directory: of the cache.
        layers: of the teacher, from 0, whose hidden states are cached; none where the answers are enough.
        precision: of the training (`fp32`, `bf16`, `fp16`, `auto`); the teacher computes in the same.

    Raises:
        NoRoom: the hidden states would fill the disk.
        StageFailed: the teacher's outputs are not finite, or too large for float16.
    """
    key = _key(teacher, ctx, layers=layers, precision=precision)
    if _is_complete(directory, key):
        return CachedTeacher(directory, layers=layers, reused=True)
    _clear(directory)
    directory.mkdir(parents=True)
    try:
        fill(directory, teacher, ctx, task, layers=layers, precision=precision)
    except NoRoom:
        _clear(directory)
        raise
    marks = {name: mark.model_dump() for name, mark in marks_of(directory, leave=(MARKER,)).items()}
    write_whole(directory / MARKER, json.dumps({"key": key, "files": marks}))
    return CachedTeacher(directory, layers=layers)


def _key(teacher: Bundle, ctx: Context, *, layers: tuple[int, ...], precision: str) -> str:
    data = ctx.part_fingerprints.get("train", "")
    return json.dumps([model_fingerprint(teacher.model), data, list(layers), precision, ctx.device.type])


def _is_complete(directory: Path, key: str) -> bool:
    """Whether the whole cache of this key is there, as it was written; earlier versions kept the answers elsewhere."""
    if not (directory / ANSWERS).exists():
        return False
    try:
        said = json.loads((directory / MARKER).read_text("utf-8"))
        marks = {name: Mark.model_validate(mark) for name, mark in said.get("files", {}).items()}
        return bool(said["key"] == key) and not damaged_files(directory, marks, whole=True)
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return False


def _clear(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _mapped(directory: Path, *, tokens: int, layers: int) -> np.ndarray:
    file = directory / "hidden.float16"
    return np.memmap(file, dtype=np.float16, mode="r").reshape(tokens, layers, -1)
