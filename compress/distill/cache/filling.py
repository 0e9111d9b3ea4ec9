"""Filling a teacher's cache: one pass over *train* for every row's outputs and the hidden states of its real tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from compress.core.answers import Answers, Known, outside_torch, write_answers
from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, evaluating, model_inputs, real_tokens
from compress.core.model.precision import autocast
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView
from compress.distill.teacher import outputs_and_hidden

__all__ = ["ANSWERS", "NoRoom", "by_length", "fill"]

ANSWERS = "answers.npz"
"""The file of the answers in a cache."""
WINDOW = 2048
"""Rows that are encoded at once and then sorted by length, so that the teacher computes little padding."""
ROWS = 64
RESERVE = 512 * 1024**2
"""Bytes that stay free on the disk."""


class NoRoom(Exception):
    """The hidden states do not fit on the disk; caught where there is another way."""


@torch.no_grad()
def fill(
    directory: Path, teacher: Bundle, ctx: Context, task: TaskView, *, layers: tuple[int, ...], precision: str
) -> None:
    """Write `rows.safetensors` (row_id, offset, length; sorted by row_id), `answers.npz` and `hidden.float16`.

    Args:
        directory: an empty directory.
        teacher: run without dropout and without gradients.
        ctx: its `batches` gives the rows of *train*.
        task: reads the answers (logits, spans, vectors) out of the teacher's outputs.
        layers: of the teacher, from 0, whose hidden states are written, in this order; none for the answers alone.
        precision: `fp32`, `bf16`, `fp16` or `auto`: of the forward pass.

    Raises:
        NoRoom: the hidden states would leave less than `RESERVE` bytes free.
        StageFailed: an output is not finite, or a hidden state exceeds float16.
    """
    from safetensors.torch import save_file

    rows: dict[str, list[Tensor]] = {"row_id": [], "length": []}
    answers: list[Known] = []
    half = autocast(ctx.device, precision, teacher.family)
    with evaluating(teacher.model), half, (directory / "hidden.float16").open("wb") as file:
        for batch in _batches(teacher, ctx):
            inputs = model_inputs(batch, teacher.model)
            outputs, hidden = outputs_and_hidden(teacher.model, inputs, hidden=bool(layers))
            rows["row_id"].append(batch["row_id"].cpu())
            given = task.answers(outputs, batch)
            _finite(given.values, "answers")
            answers.append(outside_torch(given))
            rows["length"].append(_write(file, batch, [hidden[layer] for layer in layers]))
    table = {name: torch.cat(values) for name, values in rows.items()}
    table["offset"] = table["length"].cumsum(0) - table["length"]
    order = table["row_id"].argsort()
    save_file({name: values[order].contiguous() for name, values in table.items()}, directory / "rows.safetensors")
    write_answers(directory / ANSWERS, Answers.joined(answers).in_order())


def by_length(batch: Batch, *, rows: int) -> Iterator[Batch]:
    """Batches of `rows` rows of similar length, without padding that all rows of a batch have.

    Args:
        batch: name -> tensor of (batch, ...); sorted by `attention_mask`, and given back whole without one.
        rows: of each batch; the last one may be smaller.
    """
    if "attention_mask" not in batch:
        yield batch
        return
    mask = batch["attention_mask"]
    for chosen in mask.sum(1).argsort(stable=True).split(rows):
        columns = mask[chosen].any(0)
        part = {name: value[chosen] for name, value in batch.items()}
        yield {name: value[:, columns] if value.shape[1:] == columns.shape else value for name, value in part.items()}


def _batches(teacher: Bundle, ctx: Context) -> Iterator[Batch]:
    from tqdm.auto import tqdm

    text = "attention_mask" in getattr(teacher.processor, "model_input_names", ())
    with tqdm(desc="teacher", unit=" rows", disable=None, leave=False) as progress:
        for wide in ctx.batches(teacher, part="train", batch_size=WINDOW if text else ROWS):
            for batch in by_length(wide, rows=ROWS):
                yield batch
                progress.update(len(batch["row_id"]))


def _write(file: BinaryIO, batch: Batch, hidden: list[Tensor]) -> Tensor:
    """Append the hidden states of a batch's real tokens, (tokens, layers, hidden size); how many each row has."""
    if not hidden:
        return torch.zeros(len(batch["row_id"]), dtype=torch.int64)
    real = real_tokens(batch, hidden[0])
    data = _finite(torch.stack(hidden, 2)[real].half(), "hidden states").cpu().numpy().tobytes()
    if shutil.disk_usage(file.name).free < len(data) + RESERVE:
        raise NoRoom
    file.write(data)
    return real.sum(1).cpu()


def _finite(values: Tensor, what: str) -> Tensor:
    if not torch.isfinite(values).all():
        advice = "look at the teacher: its answers are not finite, or its hidden states exceed 65504 (float16)"
        raise StageFailed(f"the teacher's {what} are not finite in float16 or float32", advice=advice)
    return values
