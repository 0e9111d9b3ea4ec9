"""Job and outcome of a measuring process, and the call that starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from compress.core import errors
from compress.core.hardware import available_threads
from recipes.measure.forkserver import Ended, run_job
from recipes.measure.size import Counts
from recipes.record import Record, Size, Speed

__all__ = ["FAILED", "Failure", "Job", "Outcome", "measure"]

FAILED = 3
"""The worker's exit status where it wrote a failure.json."""


class Job(Record):
    """Job of a measuring process: one directory. All paths are absolute or relative to the caller's directory."""

    directory: Path
    runtime: str = "pytorch"
    reference: Path | None = Field(None, description="what `reference_answers` wrote; the reload is compared with it")
    tolerance: float | None = Field(0.0, description="largest difference that passes; None: it is only reported")
    baseline: Path | None = None
    runtime_reference: Path | None = Field(None, description="the uncompressed model in this row's runtime")
    task: Any = Field(None, description="the task in its recipe form")
    seed: int = 0
    evaluation: Path | None = Field(
        None, description="written by Dataset.save_to_disk; loaded by the task unless given"
    )
    select: Path | None = Field(None, description="the same for select, whose logits are then computed too")
    answers: bool = Field(
        True, description="compute outputs for the evaluation and select rows, besides the compared ones"
    )
    probes: list[Any] = Field(default_factory=list, description="probes in their recipe form")
    device: str = Field("cpu", description="where the logits of the evaluation rows are computed")
    threads: int = Field(default_factory=available_threads, ge=1)
    counts: Counts | None = Field(None, description="an export's: its PyTorch model's; counted in the model otherwise")


class Outcome(Record):
    """What was measured.

    `load_seconds` and `resident_bytes` are of a second load in the process, so that imports are not among them, with
    one forward pass. `max_difference` is to the reference. `logits` and `select_logits` are files of
    `compress.core.answers.read_answers`, `select_value` the metric of the latter.
    """

    size: Size | None = None
    sha256: str
    load_seconds: float
    resident_bytes: int
    speeds: list[Speed] = Field(default_factory=list)
    max_difference: float | None = None
    logits: Path | None = None
    select_logits: Path | None = None
    select_value: float | None = None
    device: str = "cpu"
    threads: int
    notes: list[str] = Field(default_factory=list)


class Failure(Record):
    """An error of the worker, in the words that the caller raises again."""

    kind: str
    what: str
    where: str | None = None
    given: str | None = None
    advice: str | None = None


def measure(job: Job, directory: Path) -> Outcome:
    """Outcome of a job, measured in a fresh process.

    Args:
        job: what to measure.
        directory: for the process's files.

    Raises:
        ParityError: the reloaded model's logits are not those of the reference.
        InputError: the directory holds no model, or a probe cannot work on it.
        StageFailed: the process ended otherwise; the message has the end of what it wrote.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for stale in ("result.json", "failure.json"):
        (directory / stale).unlink(missing_ok=True)
    file = directory / "job.json"
    file.write_text(job.model_dump_json(indent=1), "utf-8")
    ended = run_job(file, threads=job.threads)
    if (directory / "failure.json").is_file():
        raise _failure(directory, job)
    if ended.status != 0 or not (directory / "result.json").is_file():
        raise _crash(ended, job)
    return Outcome.model_validate_json((directory / "result.json").read_text("utf-8"))


def _failure(directory: Path, job: Job) -> errors.TrimformerError:
    failure = Failure.model_validate_json((directory / "failure.json").read_text("utf-8"))
    kind = getattr(errors, failure.kind, errors.StageFailed)
    if kind.__init__ is not errors.TrimformerError.__init__:  # these make their own message, which is made already
        kind = errors.InputError if issubclass(kind, errors.InputError) else errors.StageFailed
    given = None if failure.given is None else _Shown(failure.given)
    return kind(failure.what, where=failure.where or str(job.directory), given=given, advice=failure.advice)


class _Shown(str):
    """A value of another process: its `repr` there."""

    def __repr__(self) -> str:
        return str(self)


def _crash(ended: Ended, job: Job) -> errors.StageFailed:
    tail = "\n".join(ended.said.strip().splitlines()[-15:])
    how = f"was killed by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    memory = "a killed process often means that memory ran out; " if ended.status == -9 else ""
    return errors.StageFailed(
        f"the process that measures {job.directory} {how}\n{tail}",
        advice=f"{memory}what finished before stays, and the same command goes on from here",
    )
