"""Dry run of a recipe without training: the same errors as a run, and predicted rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.checkpoint.compact import BITS, VALUES
from compress.core.checkpoint.save import description_bytes
from compress.core.errors import InputError
from compress.core.families.family import Family
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.hardware import default_device
from compress.core.model.bundle import Bundle
from compress.core.model.masks import compactable
from compress.core.model.sketch import NO_MASKS
from finetune.delta.record import delta_bytes
from recipes.file.mistakes import in_one
from recipes.file.recipe import Recipe
from recipes.file.stage_ids import SOURCE
from recipes.plan.flops import forward_flops
from recipes.plan.labels import settled
from recipes.plan.memory import memory_facts, training_memory
from recipes.plan.tree import Plan, Step, plan
from recipes.record import Cost, Report, Row, Size

__all__ = [
    "check",
    "check_data",
    "check_fit",
    "check_measure",
    "check_training",
    "model_bytes",
    "usable_device",
    "weight_bytes",
]

DEFAULT_LENGTH = 128
_CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.uint8: "U8", torch.int8: "I8", torch.int64: "I64"}
"""Names of types in a safetensors header."""


def check(recipe: Recipe, *, memory: int | None = None) -> Report:
    """The report that a run would have, with predicted sizes, FLOPs and memory in place of measurements.

    Args:
        recipe: what to check.
        memory: bytes that a training may take; the rows say whether each does, and the largest batch that would.

    Raises:
        InputError: whatever a run would refuse before any work.
    """
    recipe = settled(recipe)
    check_data(recipe)
    planned = plan(recipe)
    check_measure(recipe, planned.source)
    check_training(planned, default_device())
    check_fit(recipe, planned.source)
    length = recipe.task.longest_row() or DEFAULT_LENGTH
    rows = [_source_row(planned, length), *(_row(planned, step, length, memory) for step in planned.steps)]
    rows = _on_their_bases(planned, rows)
    return Report(name=recipe.name, recipe=recipe.dump(), task=recipe.task.about(), rows=rows)


def check_data(recipe: Recipe) -> None:
    """Raise `InputError`, with the place in the recipe, where the task's data cannot be used."""
    try:
        recipe.task.check()
    except InputError as error:
        place = recipe.where("task", recipe.task.name)
        error.where = f"{place}: {error.where}" if error.where else place
        raise


def check_fit(recipe: Recipe, source: Bundle) -> None:
    """Raise `InputError` where the model cannot read the rows of the task: the message has the row and its column.

    Args:
        recipe: with its task.
        source: the model, on any device, with its tokenizer.
    """
    from finetune.batching.fitting import check_rows

    try:
        check_rows(source, recipe.task, recipe.task.load(recipe.seeds[0]))
    except InputError as error:
        place = recipe.where("task", recipe.task.name)
        error.where = f"{place}: {error.where}" if error.where else place
        raise


def check_measure(recipe: Recipe, source: Bundle) -> None:
    """Raise `InputError` where a probe cannot measure such a model here.

    Args:
        recipe: with its probes.
        source: the model that they would measure.
    """
    refusals = [(index, probe.name, probe.refuses(source)) for index, probe in enumerate(recipe.measure)]
    errors = [InputError(why, where=recipe.where("measure", index, name)) for index, name, why in refusals if why]
    if errors:
        raise in_one(errors)


def check_training(planned: Plan, device: torch.device) -> None:
    """Raise `InputError` where a stage cannot train as it asks to, on the task's rows and on `device`.

    Args:
        planned: the walked recipe.
        device: where it would train.
    """
    errors: list[InputError] = []
    for step in planned.steps:
        try:
            step.node.stage.check(step.bundle, planned.recipe.task)
            training = step.declaration.training
            _check_plan(training.plan if training else None, step.bundle.family, device)
        except InputError as error:
            place = planned.recipe.where(*step.node.words)
            error.where = f"{place}: {error.where}" if error.where else place
            errors.append(error)
    if errors:
        raise in_one(errors)


def _check_plan(train: TrainPlan | None, family: Family, device: torch.device) -> None:
    # Only these can be wrong, and trying them imports transformers' Trainer.
    if train is None or not (train.arguments or train.precision == "bf16"):
        return
    from finetune.training.arguments import training_arguments

    training_arguments(train.over(DEFAULT_PLAN), family, rows=1, seed=0, device=device, output=Path("unused"))


def usable_device(choice: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here.

    Raises:
        InputError: there is no such device.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no GPU that PyTorch can use", given=choice, advice="take --device cpu or auto")
    return default_device(choice)


def model_bytes(bundle: Bundle) -> int:
    """Bytes of the directory of a model that is saved whole, without its tokenizer.

    An estimate is some kB off where data decides: the kept subword tokens or weights are a line of the record, and
    layers of unequal sizes, where equal ones were assumed, need the code that opens them.

    Raises:
        StageFailed: no directory can say what this model is.
    """
    return weight_bytes(bundle.model, bundle.masks) + description_bytes(bundle)


def weight_bytes(model: nn.Module, masks: Mapping[str, Tensor] = NO_MASKS) -> int:
    """Bytes of `model.safetensors`: each tensor once, masked ones as bits and values, and the header.

    Args:
        model: on any device, the meta device too.
        masks: name of a weight -> bool mask of its shape, True where kept.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    compact = {name: masks[name] for name in compactable(model, masks)}
    # A shared tensor has the first of its names.
    first: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        first.setdefault(id(tensor), name)
    total = 0
    for name, tensor in sorted((name, state[name]) for name in first.values()):
        for key, dtype, shape, size in _stored_as(name, tensor, compact.get(name)):
            header[key] = {"dtype": _CODES.get(dtype, "F32"), "shape": shape, "data_offsets": [total, total + size]}
            total += size
    text = len(json.dumps(header, separators=(",", ":")))
    return total + 8 + -(-text // 8) * 8


def _stored_as(name: str, tensor: Tensor, mask: Tensor | None) -> list[tuple[str, torch.dtype, list[int], int]]:
    """(key, type, shape, bytes) of what lies in the file for one tensor."""
    if mask is None:
        return [(name, tensor.dtype, list(tensor.shape), tensor.numel() * tensor.element_size())]
    kept, bits = int(mask.sum()), -(-mask.numel() // 8)
    values = (name + VALUES, tensor.dtype, [kept], kept * tensor.element_size())
    return [(name + BITS, torch.uint8, [bits], bits), values]


def _source_row(planned: Plan, length: int) -> Row:
    row = Row(id=SOURCE, stage=SOURCE, baseline=planned.source_head_trained, notes=list(planned.source.notes))
    return _filled(row, planned.source, length, whole=True)


def _row(planned: Plan, step: Step, length: int, memory: int | None) -> Row:
    node, declaration = step.node, step.declaration
    row = Row(
        id=node.id,
        stage=node.stage.name,
        start=node.start,
        baseline=node.id == _baseline(planned),
        notes=list(_notes(step)),
        cut=declaration.change.summary(step.before),
    )
    row = _filled(row, step.bundle, length, whole=not node.leaf and declaration.moves(step.bundle) is None)
    if node.leaf:
        return _exported(row, step)
    return _with_cost(row, planned, step, length, memory)


def _on_their_bases(planned: Plan, rows: list[Row]) -> list[Row]:
    """The rows with deltas as large as their base and themselves, as they are saved."""
    sizes = {row.id: row.size for row in rows}
    for step in planned.steps:
        names, base = step.declaration.moves(step.bundle), sizes[step.node.start]
        size = sizes[step.node.id]
        if names is not None and base is not None and size is not None:
            own = delta_bytes(step.bundle.model, names)
            sizes[step.node.id] = size.model_copy(update={"bytes": base.bytes + own, "delta_bytes": own})
    return [row.model_copy(update={"size": sizes[row.id]}) for row in rows]


def _exported(row: Row, step: Step) -> Row:
    """The row of an export: its runtime and precision, and the bytes that it predicts."""
    declared = step.declaration
    update: dict[str, Any] = {"runtime": declared.runtime, "precision": declared.precision}
    if row.size and declared.bytes is not None:
        update |= {"size": row.size.model_copy(update={"bytes": declared.bytes})}
    return row.model_copy(update=update)


def _notes(step: Step) -> Iterator[str]:
    yield from step.declaration.remarks
    if step.declaration.uncertain:
        yield step.declaration.uncertain
    if step.node.seeds != (None,) and len(step.node.seeds) > 1:
        yield f"runs once for each of the seeds {', '.join(map(str, step.node.seeds))}"


def _baseline(planned: Plan) -> str:
    """The source, or the first stage after which the head is trained."""
    if planned.source_head_trained:
        return SOURCE
    trained = (step.node.id for step in planned.steps if "head_trained" in step.bundle.states)
    return next(trained, "")


def _filled(row: Row, bundle: Bundle, length: int, *, whole: bool) -> Row:
    """The row with its size and FLOPs; `whole` says whether it is saved so, and not as a delta or an export."""
    sketch = bundle.sketch()
    size = Size(
        bytes=model_bytes(bundle) if whole else weight_bytes(bundle.model, bundle.masks),
        parameters=sketch.parameters,
        embedding_parameters=sketch.embedding_parameters,
    )
    flops = forward_flops(bundle.model, length=length)
    notes = row.notes if flops is not None else [*row.notes, "no FLOPs: its forward pass depends on the data"]
    return row.model_copy(update={"size": size, "flops": flops, "notes": notes})


def _with_cost(row: Row, planned: Plan, step: Step, length: int, budget: int | None) -> Row:
    """The row with what its training would take; no time is predicted. The same row where it does not train."""
    recipe = planned.recipe
    rows = len(recipe.task.load(recipe.seeds[0]).train)
    memory = training_memory(planned, step, length=length, rows=rows, device=default_device())
    if memory is None:
        return row
    peak, on_cpu = memory.at(), memory.device.type == "cpu"
    cost = Cost(
        seconds=0.0,
        peak_bytes=peak.bytes if on_cpu else peak.training,
        import_bytes=peak.process if on_cpu else None,
        trained_parameters=memory.trained_parameters,
    )
    return row.model_copy(update={"cost": cost, "facts": {**row.facts, **memory_facts(memory, budget=budget)}})
