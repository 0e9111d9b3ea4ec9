"""Model outputs by example: of a model in this process, of a saved one, and the comparison after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.core.answers import Answers, Known, outside_torch, read_answers, write_answers
from compress.core.errors import InputError, ParityError, StageFailed
from compress.core.hardware import available_threads
from recipes.measure.inputs import arrays

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from recipes.measure.runners import Model

__all__ = ["compare", "model_answers", "reference_answers", "served_answers"]

BATCH_SIZE = 64
REFERENCE_ROWS = 64


def reference_answers(
    bundle: Bundle, task: Any, rows: Any, path: Path, *, threads: int | None = None, rows_used: int = REFERENCE_ROWS
) -> None:
    """Write the outputs that a reload of `bundle` must reproduce: of the first `rows_used` rows, in fp32 on the CPU.

    The worker encodes the same rows, in the same order and batches, with the same threads, so that equal weights give
    equal bits. The bundle comes back on its device, and in training mode if it was.

    Args:
        rows: the evaluation rows, a `datasets.Dataset`.
        path: a `.npz` file.
        threads: those of the job that will compare; by affinity and quota unless given.
    """
    import torch

    from finetune.batching.predict import predict

    first = rows.select(range(min(rows_used, len(rows))))
    with _on_the_cpu(bundle, threads or available_threads()):
        found = predict(bundle, task, first, batch_size=BATCH_SIZE, device=torch.device("cpu"))
    write_answers(path, found)


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


def model_answers(model: Model, task: Any, rows: Any, *, batch_size: int = BATCH_SIZE) -> Known:
    """Outputs for all rows in their order, computed in batches of similar length by the model's own runtime.

    Args:
        model: an opened model or export.
        task: encodes the rows and reads the outputs.
        rows: a `datasets.Dataset`.
        batch_size: rows of one call.

    Raises:
        StageFailed: a logit is not a number.
    """
    if model.bundle is not None:
        import torch

        from finetune.batching.predict import predict

        found = predict(model.bundle, task, rows, batch_size=batch_size, device=torch.device(model.device))
    else:
        found = _by_length(model, task, task.encoded(rows, model.processor), batch_size)
    finite = np.asarray(np.isfinite(found.values).reshape(len(found.values), -1).all(-1))
    bad = [row for row, good in enumerate(found.of_each_row(finite)) if not good.all()]
    if bad:
        raise StageFailed(
            "the saved model gives logits that are not finite",
            given=[int(i) for i in np.asarray(rows["row_id"])[bad[:5]]],
            advice="the rows of these ids show it; a smaller learning rate or full precision may cure it",
        )
    return found


def served_answers(model: Model, task: Any, rows: Any, *, batch_size: int) -> tuple[Known, str]:
    """Outputs of a model whose answers depend on the batch, as it is served, and a remark on how many do.

    Args:
        model: an export that takes its ranges from each call.
        task: as in `model_answers`.
        rows: as in `model_answers`.
        batch_size: rows of one call as it is served: the first batch size that a probe times.
    """
    beside = BATCH_SIZE if batch_size == 1 else 1
    served, other = (model_answers(model, task, rows, batch_size=size) for size in (batch_size, beside))
    changed = task.changed(served, other)
    if changed is None:
        differ = f"they differ by up to {np.abs(served.values - other.values).max(initial=0.0):.2g}"
    else:
        differ = f"{int(changed.sum()):,} of {len(served):,} are others"
    return served, (
        f"int8 takes its ranges from the whole batch of each call, so an answer can depend on the rows beside it: the "
        f"answers are measured {_in_batches(batch_size)}, as it is served; {_in_batches(beside)}, {differ}"
    )


def _in_batches(size: int) -> str:
    return "one row at a time" if size == 1 else f"in batches of {size}"


def _by_length(model: Model, task: Any, encoded: Any, batch_size: int) -> Known:
    order = np.argsort(-np.asarray(encoded.lengths), kind="stable")
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    found = [_answered(model, task, encoded.batch(chunk)) for chunk in chunks]
    return Answers.joined(found).take(np.argsort(order))


def _answered(model: Model, task: Any, batch: Any) -> Known:
    import torch

    outputs = {name: torch.from_numpy(values) for name, values in model(arrays(batch)).items()}
    return outside_torch(task.answers(outputs, batch))


def compare(model: Model, task: Any, parts: list[Any], reference: Path, tolerance: float | None) -> float:
    """The largest difference between the logits of `model` and those in the file `reference`.

    Args:
        parts: where the rows of the reference are found, by row id.
        tolerance: the largest difference that passes; 0 asks for equal bits, None for nothing.

    Raises:
        ParityError: the difference is larger.
    """
    wanted = read_answers(reference)[0]
    found = model_answers(model, task, _rows_of(parts, wanted.row_ids))
    shapes = {"saved": wanted.values.shape, "reloaded": found.values.shape}
    if shapes["saved"] != shapes["reloaded"]:
        raise ParityError("the reloaded model gives logits of another shape", given=shapes)
    items = np.abs(found.values - wanted.values).reshape(len(wanted.values), -1).max(-1)
    differences = np.array([row.max(initial=0.0) for row in wanted.of_each_row(items)])
    worst = int(differences.argmax())
    if tolerance is not None and differences[worst] > tolerance:
        raise ParityError(
            f"the reloaded model's logits differ by {differences[worst]:.3g} (tolerance {tolerance:g}) "
            f"on {int((differences > tolerance).sum())} of {len(wanted)} rows, "
            f"most on row id {int(wanted.row_ids[worst])}",
            advice="what was saved is not the model that was made: please report it with the recipe",
        )
    return float(differences[worst])


def _rows_of(parts: list[Any], row_ids: np.ndarray) -> Any:
    for rows in parts:
        places = {int(row_id): place for place, row_id in enumerate(rows["row_id"])}
        if all(int(row_id) in places for row_id in row_ids):
            return rows.select([places[int(row_id)] for row_id in row_ids])
    raise InputError("the reference holds rows that the evaluation part does not have", given=row_ids[:5].tolist())
