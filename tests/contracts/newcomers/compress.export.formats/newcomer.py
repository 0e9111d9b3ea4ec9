"""A format that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from compress.export.format import Calibration, Format, Manifest, RuntimeSession
from compress.export.session import chosen
from compress.export.traceable import Traceable

FILE = "model.pt2"


class Newcomer(Format):
    """`model.pt2`, a program of torch.export."""

    precision: Literal["fp32"] = Field("fp32", description="of the weights")

    def packages(self) -> tuple[tuple[str, str], ...]:
        return ()

    def write(self, model: Traceable, directory: Path, calibration: Calibration) -> Manifest:
        axes = model.dynamic_axes()
        shapes = tuple(dict.fromkeys(axes[name], torch.export.Dim.AUTO) for name in model.inputs)
        program = torch.export.export(model.module, model.example, dynamic_shapes=(shapes,))
        torch.export.save(program, directory / FILE)
        return {"runtime": "torch", "versions": {"torch": torch.__version__}}

    @classmethod
    def open(cls, directory: Path, manifest: Manifest, *, threads: int, exact: bool) -> RuntimeSession:
        return Session(directory / FILE, tuple(manifest["inputs"]))


class Session:
    float_type = "f32"

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.module, self.names = torch.export.load(path).module(), names

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        arrays = chosen(inputs, self.names)
        with torch.no_grad():
            return self.module(*(torch.from_numpy(arrays[name]) for name in self.names)).numpy()

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": self(inputs)}
