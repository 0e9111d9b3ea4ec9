"""Export to another runtime, with a parity check against PyTorch."""

from __future__ import annotations

import json
import math
import platform
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from compress.core.errors import InputError, ParityError
from compress.core.model.bundle import Bundle
from compress.core.model.config import stock_config
from compress.core.model.evaluation import Batch
from compress.core.model.low_bit import nonzero_count
from compress.core.model.sketch import Sketch
from compress.core.stage.artifact import Artifact
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from compress.core.stage.task import TaskView
from compress.core.values import Positive
from compress.export.card import CARD, card
from compress.export.format import Format, Manifest
from compress.export.parity import Parity, compare
from compress.export.session import MANIFEST, open_artifact
from compress.export.traceable import traceable

__all__ = ["Export"]

CHECKED_BATCHES = 8
"""Of 32 rows; enough for fp32, where one wrong row is a wrong graph. int8 is checked on all rows of select."""


class Export(Stage):
    """Export to another runtime, with a parity check: written, loaded back, compared; the model stays as it is.

    At fp32 the logits must be PyTorch's up to `tolerance`; at int8 the predictions must agree on a share of the rows of
    *select*.
    """

    format: Format = Field(description="the runtime, and the precision there", examples=["onnx"])
    tolerance: Positive = Field(1e-3, description="fp32: largest absolute difference of a logit from PyTorch's")
    agreement: float = Field(0.97, ge=0, le=1, description="int8: least share of select rows with PyTorch's prediction")

    def requires(self) -> Requires:
        calibrated = self.format.calibrated and self.format.precision == "int8"
        return Requires(packages=self.format.packages(), draws=calibrated, leaf=True, data=frozenset({"rows"}))

    def declare(self, sketch: Sketch, named: Mapping[str, Declaration]) -> Declaration:
        return Declaration(
            needs=frozenset({"head_trained"}),
            otherwise={"quantized": "export the model from before that stage"},
            bytes=self.format.predicted_bytes(sketch),
            runtime=self.format.name,
            precision=self.format.precision,
            reference=self.model_copy(update={"format": self.format.reference(), "id": None, "start": None}),
        )

    def run(self, bundle: Bundle, ctx: Context) -> Artifact:
        """The exported directory, in `ctx.scratch`.

        Raises:
            ParityError: the outputs differ from PyTorch's by more than `tolerance` or `agreement` allow.
            StageFailed: the model cannot be traced.
        """
        directory = _empty_directory(ctx)
        manifest = self._write(bundle, ctx, directory)
        parity = self._check(bundle, ctx, directory)
        facts = {name: fact for name, fact in (manifest | parity).items() if name != "counts"}
        (directory / CARD).write_text(card(directory, facts), "utf-8")
        ctx.note(**facts)
        return Artifact(directory, runtime=self.format.name, precision=self.format.precision, notes=facts)

    def _write(self, bundle: Bundle, ctx: Context, directory: Path) -> Manifest:
        def calibration(rows: int) -> Iterable[Batch]:
            return ctx.batches(bundle, part="train", count=rows, batch_size=1)

        model = traceable(bundle, next(iter(ctx.batches(bundle, part="select", count=1))))
        written = self.format.write(model, directory, calibration)
        files = sorted(path.name for path in directory.iterdir())
        # The stock configuration: other clients of the runtimes read it, and no other.
        stock_config(bundle.model).save_pretrained(directory)
        if bundle.processor is not None:
            bundle.processor.save_pretrained(directory)
        manifest = {
            "format": self.format.name,
            "precision": self.format.precision,
            "files": files,
            "inputs": list(model.inputs),
            "model_type": model.model_type,
            "attention_heads": list(model.heads),
            **written,
            "counts": _counts(bundle),
            "versions": {**_versions(), **written.get("versions", {})},
        }
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
        return manifest

    def _check(self, bundle: Bundle, ctx: Context, directory: Path) -> dict[str, float | int | str]:
        """Parity as the model is served, and, at fp32, with fp32 arithmetic."""
        fp32 = self.format.precision == "fp32"
        served = open_artifact(directory)
        sessions = (served, open_artifact(directory, exact=True)) if fp32 else (served,)
        batches = ctx.batches(bundle, part="select", count=CHECKED_BATCHES if fp32 else None)
        found = compare(bundle, sessions, batches, task=_task(ctx))
        self._judge(found[-1])
        return {
            "largest_logit_difference": found[-1].max_difference,
            "agreement_with_pytorch": found[0].agreement,
            "rows_compared": found[0].rows,
            "float_type_here": served.float_type,
        }

    def _judge(self, parity: Parity) -> None:
        name = f"the {self.format.name} {self.format.precision} export"
        if self.format.precision == "fp32":
            # A difference that is not a number is not within any tolerance.
            if not parity.max_difference <= self.tolerance:
                raise ParityError(
                    f"{name} differs from PyTorch by {parity.max_difference:.3g} in a logit, more than "
                    f"{self.tolerance:g}",
                    advice="set `tolerance` higher only if such a difference does not matter",
                )
        elif math.isnan(parity.max_difference) or not parity.agreement >= self.agreement:
            raise ParityError(
                f"{name} agrees with PyTorch on {parity.agreement:.2%} of {parity.rows} select rows, less than "
                f"{self.agreement:.2%}",
                advice="take precision fp32, another format, or a lower `agreement`",
            )


def _counts(bundle: Bundle) -> dict[str, int]:
    """Parameters of the model in PyTorch: the graph is not counted."""
    sketch = bundle.sketch()
    return {
        "parameters": sketch.parameters,
        "nonzero": nonzero_count(bundle.model),
        "embedding": sketch.embedding_parameters,
    }


def _task(ctx: Context) -> TaskView:
    if ctx.task is None:
        raise InputError("an export is checked on a task, and none was given", advice="name a task in the recipe")
    return ctx.task


def _empty_directory(ctx: Context) -> Path:
    if ctx.scratch is None:
        raise InputError("export needs a directory to write to, and none was given", advice="set Context.scratch")
    directory = ctx.scratch / "export"
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    return directory


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "transformers")}}
