"""Measurement of one saved model or export: `trimformer measure DIR`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from compress.core.answers import Known, read_answers
from compress.core.checkpoint.guard import guarded, read_object
from compress.core.errors import InputError, listed
from compress.core.file_marks import damaged_files
from compress.core.hardware import available_threads
from recipes.measure.inputs import longest_input
from recipes.measure.job import Job, Outcome, measure
from recipes.measure.quality import quality
from recipes.plan.labels import settled
from recipes.record import Quality, Row

if TYPE_CHECKING:
    from recipes.file.recipe import Recipe

__all__ = ["measure_directory"]

USUAL_LENGTH = 128
"""Tokens."""


def measure_directory(
    directory: Path | str,
    *,
    recipe: Recipe | None = None,
    batch_sizes: Sequence[int] = (1, 8),
    lengths: Sequence[int | Literal["data"]] | None = None,
    threads: int | None = None,
    device: str = "cpu",
) -> Row:
    """Measured row of a saved model or export: size, speed, and with a recipe the quality on its task.

    There is no baseline here, so there are no ratios and no differences.

    Args:
        recipe: for its task; its first seed is used.
        lengths: tokens, or `data` for the task's own lengths; by default 128, or as many as the model reads where it
            reads fewer, and `data` where there is a recipe.
        device: where the answers and, of a PyTorch model, the timings are computed.

    Raises:
        InputError: there is no model in the directory, a run wrote it and it was damaged since, or `data` is asked for
            without a recipe.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError("there is no such directory", given=str(directory))
    _refuse_damage(directory)
    usual = _usual_length(directory)
    chosen = tuple(lengths) if lengths else (usual,) if recipe is None else (usual, "data")
    recipe = None if recipe is None else settled(recipe, directory=directory)
    if recipe is None and "data" in chosen:
        raise InputError("the lengths of the data need a task", given=list(chosen), advice="name a recipe as well")
    latency = {"batch_sizes": list(batch_sizes), "sequence_lengths": list(chosen), "device": device}
    job = Job(
        directory=directory.resolve(),
        runtime=str(_export(directory).get("format", "pytorch")),
        task=None if recipe is None else recipe.task.recipe_form(),
        seed=0 if recipe is None else recipe.seeds[0],
        probes=[{"latency": latency}],
        device=device,
        threads=threads or available_threads(),
    )
    with tempfile.TemporaryDirectory(prefix="trimformer-") as scratch:
        outcome = measure(job, Path(scratch))
        found, remarks = (None, []) if recipe is None else _quality(recipe, outcome, directory)
        return _row(directory, job, outcome, found, remarks)


def _usual_length(directory: Path) -> int:
    """128 tokens, or as many as the model reads."""
    from finetune.delta.record import base_directory

    place = directory
    while (base := base_directory(place)) is not None:
        place = base
    if not (place / "config.json").is_file():
        return USUAL_LENGTH
    config, processor = (SimpleNamespace(**_json(place / name)) for name in ("config.json", "tokenizer_config.json"))
    with guarded("the configuration of the model cannot be read", given=str(place)):
        return min(USUAL_LENGTH, longest_input(config, processor) or USUAL_LENGTH)


def _json(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _export(directory: Path) -> dict[str, Any]:
    return _json(directory / "export.json")


def _quality(recipe: Recipe, outcome: Outcome, directory: Path) -> tuple[Quality, list[str]]:
    rows = recipe.task.load(recipe.seeds[0]).evaluation
    if outcome.logits is None:
        raise InputError("the task has no evaluation rows", given=recipe.name)
    answers = read_answers(outcome.logits)[0]
    width, labels = answers.values.shape[-1], recipe.task.needs_head.labels
    if labels and width != len(labels):
        raise InputError(
            f"the model answers with {width} numbers, and the task has {len(labels)} labels",
            given=recipe.name,
            advice="name the recipe that the model was made for",
        )
    answers, remarks = _in_the_tasks_order(answers, recipe.task.class_names, directory)
    return quality(recipe.task, answers, recipe.task.targets(rows), rows["part"]), remarks


def _in_the_tasks_order(answers: Known, labels: tuple[str, ...], directory: Path) -> tuple[Known, list[str]]:
    """The answers with the classes in the order of the task, and a remark where names do not tell it."""
    from compress.core.checkpoint.labels import by_place, checkpoint_labels, matching

    theirs = checkpoint_labels(directory)
    if theirs is None or not labels:
        return answers, []
    order = matching(labels, theirs)
    if order is None:
        return answers, [by_place(labels, theirs)]
    return replace(answers, values=answers.values[..., list(order)]), []


def _row(directory: Path, job: Job, outcome: Outcome, answers: Quality | None, remarks: list[str]) -> Row:
    return Row(
        id=directory.resolve().name,
        stage="measure",
        runtime=job.runtime,
        precision=str(_export(directory).get("precision", "fp32")),
        path=str(directory),
        size=outcome.size,
        speed=outcome.speeds,
        load_seconds=outcome.load_seconds,
        resident_bytes=outcome.resident_bytes,
        quality=answers,
        sha256=outcome.sha256,
        notes=[*outcome.notes, *remarks],
    )


def _refuse_damage(directory: Path) -> None:
    """Raise `InputError` where a run wrote the directory, or the base of a delta in it, and it was damaged since."""
    from finetune.delta.record import base_directory
    from recipes.stage_record import StageRecord  # it imports the counts of this package

    record = StageRecord.read(directory / "stage.json")
    damaged = damaged_files(directory, record.files, whole=True) if record and record.files else []
    if damaged:
        raise InputError(
            f"files of this stage are missing, or not as they were written: {listed(damaged)}",
            where=str(directory),
            advice="run its recipe again: what is damaged is made again, and the rest is reused",
        )
    base = base_directory(directory)
    if base is not None and base.is_dir():
        _refuse_damage(base)
