"""The peak memory of every training stage of a recipe, before it runs, and what a budget of memory has room for."""

from __future__ import annotations

from typing import Any

import torch

from compress.core.fit.plan import DEFAULT_PLAN
from compress.core.model.bundle import Bundle
from compress.core.model.low_bit import stored_bytes
from compress.core.stage.declaration import Training
from compress.distill.objective import read_once
from finetune.memory_prediction.estimate import TrainingMemory
from recipes.plan.tree import Plan, Step

__all__ = ["memory_facts", "training_memory"]


def training_memory(
    planned: Plan, step: Step, *, length: int, rows: int, device: torch.device
) -> TrainingMemory | None:
    """The memory of a stage's main training; None where it does not train.

    Args:
        planned: the walked recipe.
        step: the stage, as it was walked.
        length: of the longest row, in tokens.
        rows: of the train split.
        device: where it trains.
    """
    training, bundle = step.declaration.training, step.trained
    if training is None:
        return None
    plan = training.plan.over(DEFAULT_PLAN)
    names = training.moves(bundle)
    names = _all_names(bundle) if names is None else names
    return TrainingMemory(
        bundle.model,
        bundle.family,
        names,
        plan,
        length,
        device,
        copies=_copies(planned, step, training, names, device),
        cached=training.cached(bundle, rows),
    )


def memory_facts(memory: TrainingMemory, *, budget: int | None = None) -> dict[str, Any]:
    """What the row of a stage says: the parts of the peak, and with a budget whether it fits, and what would.

    Args:
        memory: of the stage.
        budget: bytes, or None where none was given.
    """
    now = memory.at()
    facts: dict[str, Any] = {"predicted_peak_bytes": now.bytes, "predicted_memory": now.parts()}
    if memory.by_formula:
        facts["predicted_by"] = "a formula: the model's forward pass cannot be simulated"
    if budget is None:
        return facts
    fits, largest = now.bytes <= budget, memory.largest_batch(budget)
    facts |= {"memory_budget_bytes": budget, "fits": fits, "largest_batch_size": largest}
    return facts if fits else {**facts, "advice": _advice(memory, budget)}


def _advice(memory: TrainingMemory, budget: int) -> str:
    """What to write in the recipe so that the stage fits."""
    size, accumulation = memory.plan.batch_size or 1, memory.plan.accumulation or 1
    split = memory.accumulating()
    largest = min(split.largest_batch(budget) or 0, size)
    fitting = next((rows for rows in range(largest, 0, -1) if size % rows == 0), 0)
    if fitting:
        return f"write train: {{batch_size: {fitting}, accumulation: {accumulation * (size // fitting)}}}"
    again = "" if memory.plan.gradient_checkpointing else ", or write gradient_checkpointing: true"
    return f"no batch does; train fewer parameters, or store the base in fewer bits{again}"


def _all_names(bundle: Bundle) -> frozenset[str]:
    return frozenset(name for name, parameter in bundle.model.named_parameters() if parameter.is_floating_point())


def _copies(planned: Plan, step: Step, training: Training, names: frozenset[str], device: torch.device) -> int:
    """Bytes of models beside the one that is trained, and of masks."""
    model, plan = step.trained.model, training.plan.over(DEFAULT_PLAN)
    total = training.copies * stored_bytes(model)
    if training.taught and read_once(plan):
        total += stored_bytes(_bundle(planned, training.teacher or step.node.start).model)
    if plan.patience and device.type == "cpu":
        total += sum(p.numel() * p.element_size() for name, p in model.named_parameters() if name in names)
    # Each mask is there as booleans and, on a CPU, as the numbers that it multiplies a trained weight by.
    of_one = {name: 5 if device.type == "cpu" and name in names else 1 for name in step.trained.masks}
    return total + sum((of_one[name] + training.mask_bytes) * mask.numel() for name, mask in step.trained.masks.items())


def _bundle(planned: Plan, id: str) -> Bundle:
    return next((step.bundle for step in planned.steps if step.node.id == id), planned.source)
