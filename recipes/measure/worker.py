"""Worker: the measuring process opens the saved model, compares, infers, times."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from compress.core.answers import write_answers
from compress.core.errors import TrimformerError
from recipes.measure.answers import compare, model_answers, served_answers
from recipes.measure.inputs import random_batch
from recipes.measure.job import FAILED, Failure, Job, Outcome
from recipes.measure.memory import resident_bytes
from recipes.measure.probe import Bench, Probe
from recipes.measure.runners import Model, open_model
from recipes.measure.size import counts, exported_counts, sha256, size

__all__ = ["main", "work"]


def main(file: Path) -> int:
    """Do the job of a file, and leave `result.json` or `failure.json` beside it. Returns the exit status."""
    job = Job.model_validate_json(file.read_text("utf-8"))
    try:
        outcome = work(job, file.parent)
    except TrimformerError as error:
        given = None if error.given is None else repr(error.given)
        failure = Failure(
            kind=type(error).__name__, what=error.what, where=error.where, given=given, advice=error.advice
        )
        (file.parent / "failure.json").write_text(failure.model_dump_json(indent=1), "utf-8")
        return FAILED
    (file.parent / "result.json").write_text(outcome.model_dump_json(indent=1), "utf-8")
    return 0


def work(job: Job, out: Path) -> Outcome:
    """Outcome of a job, computed in this process.

    Args:
        job: what to measure.
        out: directory of its files.
    """
    digest = sha256(job.directory)
    model, load_seconds, resident = _opened(job)
    probes = [Probe.parse(form) for form in job.probes]
    task, rows, select = _data(job)
    fields: dict[str, Any] = {"threads": job.threads, "size": _size(job, model)}
    if job.reference is not None:
        parts = [part for part in (rows, select) if part is not None]
        fields["max_difference"] = compare(model, task, parts, job.reference, job.tolerance)
    if job.answers:
        served = next((probe.served for probe in probes if probe.served), 1)
        fields |= _answers(job, model, task, {"logits": rows, "select_logits": select}, out, served=served)
    bench = Bench(
        row=job.directory, runtime=job.runtime, baseline=job.baseline, runtime_reference=job.runtime_reference,
        task=task, rows=rows, threads=job.threads, seed=job.seed,
        opened={(job.directory, "cpu", job.threads): model},
    )  # fmt: skip
    speeds = [speed for probe in probes for speed in probe.speeds(bench)]
    return Outcome(sha256=digest, load_seconds=load_seconds, resident_bytes=resident, speeds=speeds, **fields)


def _opened(job: Job) -> tuple[Model, float, int]:
    """The model, the seconds of its load, and the memory that it takes after a forward pass.

    It is opened twice and the second load is measured beside the first: imports and the runtime's own memory are then
    there already, and no freed memory of the first is reused.
    """
    first = open_model(job.directory, threads=job.threads)
    _try(first)
    before, start = resident_bytes(), time.perf_counter()
    model = open_model(job.directory, threads=job.threads)
    seconds = time.perf_counter() - start
    _try(model)
    return model, seconds, max(0, resident_bytes() - before)


def _try(model: Model) -> None:
    """One forward pass, where the model reads text."""
    if getattr(model.config, "vocab_size", None) is not None:
        model(random_batch(model, batch_size=1, length=16, seed=0))


def _size(job: Job, model: Model) -> Any:
    if job.counts is not None:
        return size(job.directory, job.counts)
    return size(job.directory, exported_counts(job.directory) if model.bundle is None else counts(model.bundle))


def _data(job: Job) -> tuple[Any, Any, Any]:
    """The task with the evaluation and select rows."""
    if job.task is None:
        return None, None, None
    from finetune.tasks.task import Task

    task = Task.parse(job.task)
    rows = task.load(job.seed).evaluation if job.evaluation is None else _read(job.evaluation)
    return task, rows, None if job.select is None else _read(job.select)


def _read(directory: Path) -> Any:
    from datasets import load_from_disk

    return load_from_disk(directory)


def _answers(job: Job, model: Model, task: Any, parts: dict[str, Any], out: Path, *, served: int) -> dict[str, Any]:
    """Write the answers to each part that is there; the file's path by field of the outcome, and remarks.

    Args:
        job: says where they are computed.
        model: on the CPU.
        task: of the rows.
        parts: field -> rows, or None.
        out: directory of the files.
        served: rows of one call where an answer depends on them.
    """
    wanted = {name: rows for name, rows in parts.items() if rows is not None}
    if not wanted:
        return {}
    on_device, notes = _moved(job, model), []
    for name, rows in wanted.items():
        if on_device.ranges_per_call:
            found, remark = served_answers(on_device, task, rows, batch_size=served)
            notes += [remark] if name == "logits" else []
        else:
            found = model_answers(on_device, task, rows)
        write_answers(out / f"{name}.npz", found)
    return {"device": on_device.device, "notes": notes, **{name: out / f"{name}.npz" for name in wanted}}


def _moved(job: Job, model: Model) -> Model:
    """The model on the job's device; an export stays where it is."""
    from compress.core.hardware import default_device

    device = str(default_device(job.device))
    return (
        model
        if device == "cpu" or model.bundle is None
        else open_model(job.directory, device=device, threads=job.threads)
    )
