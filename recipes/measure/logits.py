"""Logits by example: of a model in this process, of a saved one, and what a reload is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.core.errors import InputError, ParityError, StageFailed
from compress.core.hardware import available_threads
from recipes.measure.inputs import arrays

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from recipes.measure.runners import Model

__all__ = ["compare", "model_logits", "read_logits", "reference_logits", "write_logits"]

BATCH_SIZE = 64
REFERENCE_ROWS = 64


def reference_logits(
    bundle: Bundle, task: Any, rows: Any, path: Path, *, threads: int | None = None, rows_used: int = REFERENCE_ROWS
) -> None:
    """Write what a reload of `bundle` must give: row ids and logits of the first `rows_used` rows, in fp32 on the CPU.

    The worker encodes the same rows, in the same order and batches, with the same threads, so that equal weights give
    equal bits. The bundle comes back on its device, and in training mode if it was.

    Args:
        rows: the evaluation rows, a `datasets.Dataset`.
        path: a `.npz` file.
        threads: those of the job that will compare; by affinity and quota unless given.
    """
    import torch

    from finetune.data.predict import logits

    first = rows.select(range(min(rows_used, len(rows))))
    with _on_the_cpu(bundle, threads or available_threads()):
        found = logits(bundle, task, first, batch_size=BATCH_SIZE, device=torch.device("cpu"))
    write_logits(path, first["row_id"], found)


@contextmanager
def _on_the_cpu(bundle: Bundle, threads: int) -> Iterator[None]:
    import torch

    device, before = bundle.device, torch.get_num_threads()
    bundle.to("cpu")
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        bundle.to(device)


def write_logits(path: Path, row_ids: Any, logits: np.ndarray) -> None:
    """Row ids int64 and logits float32, without pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, row_ids=np.asarray(row_ids, dtype=np.int64), logits=np.asarray(logits, dtype=np.float32))


def read_logits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Row ids (examples,) and logits (examples, labels) of a file that `write_logits` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return file["row_ids"], file["logits"]


def model_logits(model: Model, task: Any, rows: Any) -> np.ndarray:
    """Logits of all `rows` in their order, computed in batches of similar length by the model's own runtime.

    Raises:
        StageFailed: a logit is not a number.
    """
    if model.bundle is not None:
        import torch

        from finetune.data.predict import logits

        found = logits(model.bundle, task, rows, batch_size=BATCH_SIZE, device=torch.device(model.device))
    else:
        found = _by_length(model, task.encoded(rows, model.processor))
    bad = np.flatnonzero(~np.isfinite(found).all(-1))
    if len(bad):
        raise StageFailed(
            "the saved model gives logits that are not finite",
            given=[int(i) for i in np.asarray(rows["row_id"])[bad[:5]]],
            advice="the rows of these ids show it; a smaller learning rate or full precision may cure it",
        )
    return found


def _by_length(model: Model, encoded: Any) -> np.ndarray:
    order = np.argsort(-np.asarray(encoded.lengths), kind="stable")
    chunks = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
    found = np.concatenate([model(arrays(encoded.batch(chunk))) for chunk in chunks])
    return found[np.argsort(order)]


def compare(model: Model, task: Any, parts: list[Any], reference: Path, tolerance: float | None) -> float:
    """The largest difference between the logits of `model` and those in the file `reference`.

    Args:
        parts: where the rows of the reference are found, by row id.
        tolerance: the largest difference that passes; 0 asks for equal bits, None for nothing.

    Raises:
        ParityError: the difference is larger.
    """
    row_ids, wanted = read_logits(reference)
    found = model_logits(model, task, _rows_of(parts, row_ids))
    if found.shape != wanted.shape:
        raise ParityError(
            "the reloaded model gives logits of another shape", given={"saved": wanted.shape, "reloaded": found.shape}
        )
    differences = np.abs(found - wanted).max(-1)
    worst = int(differences.argmax())
    if tolerance is not None and differences[worst] > tolerance:
        raise ParityError(
            f"the reloaded model's logits differ by {differences[worst]:.3g} (tolerance {tolerance:g}) "
            f"on {int((differences > tolerance).sum())} of {len(row_ids)} rows, most on row id {int(row_ids[worst])}",
            advice="what was saved is not the model that was made: please report it with the recipe",
        )
    return float(differences[worst])


def _rows_of(parts: list[Any], row_ids: np.ndarray) -> Any:
    for rows in parts:
        places = {int(row_id): place for place, row_id in enumerate(rows["row_id"])}
        if all(int(row_id) in places for row_id in row_ids):
            return rows.select([places[int(row_id)] for row_id in row_ids])
    raise InputError("the reference holds rows that the evaluation part does not have", given=row_ids[:5].tolist())
