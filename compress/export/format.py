"""Export formats: how a model is written for another runtime, and opened there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field

from compress.core.checkpoint.usage import Usage
from compress.core.choice import Choice
from compress.core.model.evaluation import Batch
from compress.core.model.sketch import Sketch
from compress.core.stage.artifact import Session
from compress.export.traceable import Traceable

__all__ = ["Calibration", "Format", "Manifest", "RuntimeSession", "named_inputs"]

Manifest = dict[str, Any]
"""Contents of `export.json`: `format`, `precision`, `files`, `inputs`, `versions`, and what the format adds."""

F = TypeVar("F", bound="Format")


class RuntimeSession(Session, Protocol):
    """Inference session with the floating type in which its runtime computes: `f32`, `bf16`."""

    float_type: str


Calibration = Callable[[int], Iterable[Batch]]


class Format(Choice):
    """Export format: how a model is written for another runtime, and how it is opened there."""

    home: ClassVar[str] = "compress.export.formats"
    calibrated: ClassVar[bool] = False
    """Whether `write` at int8 needs calibration batches of *train*."""

    precision: Literal["fp32", "int8"] = Field("int8", description="of the weights; int8 also quantizes activations")

    def reference(self: F) -> F:
        """The same format for the uncompressed model, at the runtime's default precision."""
        return self.model_copy(update={"precision": "fp32"})

    @abstractmethod
    def packages(self) -> tuple[tuple[str, str], ...]:
        """(package, extra) pairs that must be installed."""

    @abstractmethod
    def write(self, model: Traceable, directory: Path, calibration: Calibration) -> Manifest:
        """Write the model's files into `directory`.

        Args:
            model: traced by the exporter.
            directory: exists and is empty.
            calibration: `calibration(n)` gives n batches of one row of *train*.

        Returns:
            Entries that are added to `export.json`.
        """

    @classmethod
    @abstractmethod
    def open(cls, directory: Path, manifest: Manifest, *, threads: int, exact: bool) -> RuntimeSession:
        """The written model in its runtime.

        Args:
            directory: that `write` filled.
            manifest: its `export.json`.
            threads: of one call.
            exact: force 32-bit floats where the runtime would compute in fewer bits.
        """

    @classmethod
    def usage(cls, manifest: Manifest) -> Usage:
        """Lines that open the written model in its runtime and compute logits; by `open_artifact` unless overridden.

        Args:
            manifest: its `export.json`.
        """
        return Usage(
            imports=("from compress.export import open_artifact",),
            opening="model = open_artifact(directory)",
            logits='model.outputs(dict(inputs))["logits"]',
            arrays="np",
        )

    @classmethod
    def ranges_per_call(cls, manifest: Manifest) -> bool:
        """Whether activations are quantized by the range of the whole batch, so that an answer depends on its batch.

        Args:
            manifest: the `export.json` of what was written.
        """
        return False

    def predicted_bytes(self, sketch: Sketch) -> int:
        """Estimated size of the model's files, in bytes."""
        if self.precision == "fp32":
            return 4 * sketch.parameters
        # Biases and norms stay in 32 bits; each output of a linear has a scale.
        vectors = sketch.layers * (9 * sketch.hidden) + sum(sketch.neurons)
        scales = sketch.layers * (5 * sketch.hidden) + sum(sketch.neurons)
        return sketch.parameters + 3 * vectors + 4 * scales


def named_inputs(manifest: Manifest) -> str:
    """Expression for the arrays of `inputs` that the model takes; runtimes refuse others.

    Args:
        manifest: the `export.json` of what was written.
    """
    return "{name: inputs[name] for name in [" + ", ".join(f'"{name}"' for name in manifest["inputs"]) + "]}"
