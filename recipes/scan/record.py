"""Results of a sensitivity scan as plain data: `scan.json` is this. No torch here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from compress.core.files import write_whole
from recipes.record import Record

__all__ = ["LeftOut", "Scan", "ScanPoint"]

FILE = "scan.json"


class ScanPoint(Record):
    """Metric with a share of a pattern masked: in `layer 3`, a kind of blocks, a role of matrices, or in `all`."""

    pattern: str
    where: str
    sparsity: float
    value: float


class LeftOut(Record):
    """A masking that was not measured, and why: a pattern at a sparsity."""

    pattern: str
    sparsity: float
    why: str


class Scan(Record):
    """Sensitivity scan, the content of `scan.json`.

    `importance` holds the criterion's scores by pattern: of each unit; of weights the mean of each matrix, a row for
    each block, whose `columns` are the roles.
    """

    format: int = 1
    name: str
    identity: str
    metric: str
    part: str = "select"
    rows: int
    criterion: Any
    model: Any
    whole: float
    """The metric of the model as it is."""
    points: list[ScanPoint] = Field(default_factory=list)
    importance: dict[str, list[list[float]]] = Field(default_factory=dict)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    left_out: list[LeftOut] = Field(default_factory=list)
    """What was asked for this time and does not fit the model."""

    @classmethod
    def read(cls, directory: Path) -> Scan | None:
        """The scan that stands there, or None where there is none of this version."""
        try:
            return cls.model_validate_json((directory / FILE).read_text("utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, directory: Path) -> None:
        write_whole(directory / FILE, json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True))
