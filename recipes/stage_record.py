"""Record of a finished stage: `stage.json`, in the stage's directory, is this. No torch here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from compress.core.file_marks import Mark
from compress.core.files import write_whole
from compress.core.stage.exhibit import Exhibit
from recipes.measure.size import Counts
from recipes.old_records import with_exhibits
from recipes.record import Cost, Record
from recipes.sealed import sealed_text, unsealed

__all__ = ["Named", "ReferenceLogits", "StageRecord"]

WEIGHTS = ".safetensors"


class Named(Record):
    """What a stage is called in a recipe, which may differ between the recipes that share it."""

    id: str
    stage: str
    start: str | None = None
    seed: int | None = None


class ReferenceLogits(Record):
    """The logits from before saving, which a reload must give.

    Attributes:
        rows: fingerprint of the evaluation rows.
        machine: where they were computed.
        task: fingerprint of the task that encoded the rows; None in records of older versions.
    """

    rows: str
    machine: dict[str, Any]
    task: str | None = None


class StageRecord(Named):
    """Record of a stage: its result, settings and cost.

    Attributes:
        settings: the stage's recipe form without its names.
        identity: what it is found again by.
        runtime: `pytorch`, or an export's.
        precision: of the weights that are stored.
        states: of the model.
        select_value: the metric on *select*, where the head is trained.
        cost: of the stage itself, without opening, saving and measuring.
        notes: sentences for the reader of its row.
        facts: what the stage noted.
        exhibits: what it showed, the units that stay first.
        cut: the summary of its change.
        counts: parameters of the model.
        flops: of one forward pass of one example at the task's longest length.
        reference: None where it is no model.
        artifact: what an export noted of its files.
        files: marks of the files beside the record, without what was measured later; None in records of older versions.
        made_from: digests of the weights that it stands on: `start`, and the fields that name stages.
    """

    settings: Any
    identity: str
    runtime: str = "pytorch"
    precision: str = "fp32"
    states: list[str]
    select_value: float | None = None
    cost: Cost
    notes: list[str] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    exhibits: list[Exhibit] = Field(default_factory=list)
    cut: dict[str, Any] = Field(default_factory=dict)
    counts: Counts | None = None
    flops: float | None = None
    reference: ReferenceLogits | None = None
    artifact: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, Mark] | None = None
    made_from: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> StageRecord | None:
        """The record in a file, old ones too; None where there is none, or it is not as it was written."""
        try:
            return cls.model_validate(with_exhibits(unsealed(file.read_text("utf-8"))))
        except (OSError, ValueError, ValidationError, AttributeError, TypeError):
            return None

    def write(self, file: Path) -> None:
        write_whole(file, sealed_text(self.model_dump(mode="json")))

    @property
    def weights(self) -> str | None:
        """Digest of the weights, whatever lies beside them; None in records of older versions."""
        if self.files is None:
            return None
        found = sorted(f"{name} {mark.sha256}" for name, mark in self.files.items() if name.endswith(WEIGHTS))
        return hashlib.sha256("\n".join(found).encode()).hexdigest()

    @property
    def head_trained(self) -> bool:
        return "head_trained" in self.states

    @property
    def is_model(self) -> bool:
        """Whether PyTorch opens it, so that stages can work on it."""
        return self.runtime == "pytorch"

    def called(self, named: Named) -> StageRecord:
        """The same under the names of another recipe."""
        return self.model_copy(update={name: getattr(named, name) for name in Named.model_fields})
