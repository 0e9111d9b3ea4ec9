"""Bundle: a model with its tokenizer, its pruning masks and the history of its changes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.families.family import Family, family_of
from compress.core.model.change import Change, Several
from compress.core.model.sketch import Sketch
from compress.core.model.state import State

__all__ = ["Bundle", "Tuned"]


@dataclass(frozen=True)
class Tuned:
    """Parameter-efficient fine-tuning on a base model: what is needed to save it as a delta.

    Attributes:
        method: its name.
        names: the tensors of the model's state that belong to it, not to the base.
        base_changes: how many of the bundle's changes belong to the base.
        base: the base's fingerprint.
    """

    method: str
    names: frozenset[str]
    base_changes: int
    base: str = ""


@dataclass
class Bundle:
    """A model, its tokenizer or image processor, its masks, and the changes that made it.

    Attributes:
        model: a transformers model, with the task's head.
        processor: a tokenizer or an image processor.
        changes: the surgeries that made this model from the source, in order.
        states: facts about it that decide what may follow (`head_trained`, `masked`, ...).
        masks: path of a parameter -> boolean tensor of its shape, True where kept. A pruned weight is zero. Masks are
            never changed in place: another mask is another tensor.
        fresh: names of parameters that the checkpoint lacked and that no training has updated yet.
        notes: remarks on how it was loaded (a fresh head, and why), for the user.
        head_note: why the checkpoint's own head does not count as trained; None where it does.
        tuned: the last fine-tuning, where that is saved as a delta on its base; None where the model is saved whole.
    """

    model: nn.Module
    processor: Any
    changes: tuple[Change, ...] = ()
    states: frozenset[State] = frozenset()
    masks: dict[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fresh: frozenset[str] = frozenset()
    tuned: Tuned | None = None
    head_note: str | None = None

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def family(self) -> Family:
        return family_of(self.config.model_type)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def mask_device(self) -> torch.device:
        """Device of the masks: the CPU where the model is on the meta device."""
        return torch.device("cpu") if self.device.type == "meta" else self.device

    def sketch(self) -> Sketch:
        return Sketch.of(self.model, self.family, self.states, self.masks)

    def copy(self) -> Bundle:
        """A bundle whose model can be changed without changing this one's. The processor is shared."""
        return replace(self, model=copy.deepcopy(self.model), masks=dict(self.masks))

    def to(self, device: torch.device | str) -> Bundle:
        self.model.to(device)
        return self

    def changed_by(self, change: Change) -> Bundle:
        """This bundle with `change` applied, in place, and added to its history; several are added one by one."""
        if isinstance(change, Several):
            changed = self
            for step in change.steps:
                changed = changed.changed_by(step)
            return changed
        changed = change.apply(self)
        changed.changes = (*self.changes, change)
        return changed
