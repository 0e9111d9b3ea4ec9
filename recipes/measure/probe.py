"""Probes: optional measurements of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.choice import Choice
from recipes.record import Speed

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from recipes.measure.runners import Model

__all__ = ["Bench", "Probe"]


def _open(directory: Path, *, device: str, threads: int) -> Model:
    from recipes.measure.runners import open_model

    return open_model(directory, device=device, threads=threads)


@dataclass
class Bench:
    """Models and data that a probe measures.

    Attributes:
        row: the directory of the model that is measured, and `runtime`, what it runs in.
        baseline: the baseline's directory; None for the baseline itself.
        runtime_reference: the uncompressed model in this row's runtime.
        task, rows: the task and its evaluation rows, where there are any.
        threads: for probes that do not say themselves.
        opened: models that are open already, by (directory, device, threads).
        open: how another is opened; replaced in tests.
    """

    row: Path
    runtime: str = "pytorch"
    baseline: Path | None = None
    runtime_reference: Path | None = None
    task: Any = None
    rows: Any = None
    threads: int = 1
    seed: int = 0
    opened: dict[tuple[Path, str, int], Model] = field(default_factory=dict)
    open: Callable[..., Model] = _open

    def model(self, directory: Path, *, device: str, threads: int) -> Model:
        """The model of `directory`, opened once. Its threads are set whenever it is asked for."""
        key = (directory, device, threads)
        if key not in self.opened:
            self.opened[key] = self.open(directory, device=device, threads=threads)
        return self.opened[key]


class Probe(Choice):
    """A measurement. A member is one file below `recipes/measure/probes/`."""

    home = "recipes.measure.probes"

    def refuses(self, model: Bundle) -> str | None:
        """Why it cannot measure such a model here, or None; found before any work."""
        return None

    @property
    def served(self) -> int | None:
        """Rows of one call as the model is served, where the probe says so."""
        return None

    def speeds(self, bench: Bench) -> list[Speed]:
        """Measurements, one for each point."""
        raise NotImplementedError
