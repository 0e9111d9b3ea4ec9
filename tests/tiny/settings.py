"""Any stage, choice or recipe with settings that fit a tiny model and a few rows."""

from __future__ import annotations

from typing import Any, TypeVar

from compress.core.fit.plan import TrainPlan
from compress.core.values import Settings

__all__ = ["LARGEST", "tiny_settings"]

S = TypeVar("S", bound=Settings)
STEPS = 4
"""Of every training: enough for the ramp of a gradual pruning."""
LARGEST: dict[str, float] = {
    "agreement": 0.5,
    "batches": 2,
    "layers": 2,
    "length": 32,
    "number": 6,
    "rounds": 2,
    "width": 8,
}
"""Name of a setting -> the most that it is on a tiny model. Agreement is of labels after int8: a model of random
weights answers close to the line."""


def tiny_settings(value: S) -> S:
    """A copy in which no setting, of the value or of what it holds, is above `LARGEST`, and each training is short."""
    changed = {name: _small(name, getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, TrainPlan):
        changed["max_steps"] = min(STEPS, value.max_steps or STEPS)
    return value.model_copy(update=changed)


def _small(name: str, value: Any) -> Any:
    if isinstance(value, Settings):
        return tiny_settings(value)
    if isinstance(value, tuple):
        return tuple(_small("", part) for part in value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(value, LARGEST[name]) if is_number and name in LARGEST else value
