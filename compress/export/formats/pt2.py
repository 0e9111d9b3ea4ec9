"""A program of torch.export, run by torch alone."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from compress.core.checkpoint.usage import Usage
from compress.core.errors import InputError, StageFailed
from compress.core.model.sketch import Sketch
from compress.export.format import Calibration, Format, Manifest, RuntimeSession
from compress.export.quiet import quiet
from compress.export.session import chosen
from compress.export.traceable import Traceable

__all__ = ["Pt2"]

FILE = "model.pt2"
FROM_SOURCE = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
"""What a node remembers of the code that it was traced from: paths of this machine, and most of the graph's bytes."""
BLOCK_BYTES = 50_000
"""About what the graph of a block takes in the archive; what is before and after the blocks takes as much as one."""


class Pt2(Format):
    """`model.pt2`, a program of torch.export for any batch size and length: torch runs it without transformers; fp32.

    `torch.export.load` opens it, and AOTInductor and ExecuTorch take it further. What is written holds tensors and a
    graph, no pickle, and one with a pickle is not opened here. torch evaluates the expressions of the graph's shapes,
    so open only a file from those whom you trust.

    References:
        Ansel et al. 2024 (PyTorch 2), ASPLOS; the format is PyTorch's PT2 archive.
    """

    precision: Literal["fp32"] = Field("fp32", description="of the weights")

    def packages(self) -> tuple[tuple[str, str], ...]:
        return ()

    def write(self, model: Traceable, directory: Path, calibration: Calibration) -> Manifest:
        try:
            with quiet():
                program = _program(model)
                torch.export.save(program, directory / FILE)
                # torch also writes programs that it cannot read back: those with sizes that depend on values.
                torch.export.load(directory / FILE)
        except Exception as error:  # the exporter raises whatever the traced code raises
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise StageFailed(
                f"a {model.model_type} model cannot be written by torch.export: {first}",
                advice="try another format; 'trimformer list formats' names them",
            ) from error
        return {
            "runtime": "torch",
            "outputs": list(model.outputs),
            "nodes": len(program.graph.nodes),
            "versions": {"torch": torch.__version__},
        }

    @classmethod
    def usage(cls, manifest: Manifest) -> Usage:
        several = "[0]" if len(manifest["outputs"]) > 1 else ""
        given = ", ".join(f'inputs["{name}"]' for name in manifest["inputs"])
        return Usage(
            imports=("import torch",),
            opening=f'model = torch.export.load(f"{{directory}}/{FILE}").module()',
            logits=f"model({given}){several}",
        )

    @classmethod
    def open(cls, directory: Path, manifest: Manifest, *, threads: int, exact: bool) -> RuntimeSession:
        return _Session(directory / FILE, tuple(manifest["inputs"]), tuple(manifest["outputs"]), threads=threads)

    def predicted_bytes(self, sketch: Sketch) -> int:
        return super().predicted_bytes(sketch) + BLOCK_BYTES * (sketch.layers + 1)


def _program(model: Traceable) -> torch.export.ExportedProgram:
    """The program of `model`. All its axes must stay free: one that the code fixes to the example's is an error."""
    axes = model.dynamic_axes()
    free = tuple(dict.fromkeys(axes[name], torch.export.Dim.DYNAMIC) for name in model.inputs)
    program = torch.export.export(model.module, model.example, dynamic_shapes=(free,))
    # The example would be stored as a pickle.
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in FROM_SOURCE:
            node.meta.pop(key, None)
    return program


class _Session:
    float_type = "f32"

    def __init__(self, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], *, threads: int) -> None:
        _refuse_pickles(path)
        with quiet():
            self._run = torch.export.load(path).module()
        self._inputs, self._outputs, self._threads = inputs, outputs, threads

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = chosen(inputs, self._inputs)
        with _threads(self._threads), torch.inference_mode():
            found = self._run(*(torch.from_numpy(arrays[name]) for name in self._inputs))
        tensors = (found,) if isinstance(found, torch.Tensor) else found
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, tensors, strict=True)}

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.outputs(inputs)["logits"]


def _refuse_pickles(path: Path) -> None:
    """torch unpickles an example that stands in the archive, and anything that it holds with it."""
    with zipfile.ZipFile(path) as archive:
        found = [
            member.filename for member in archive.infolist() if member.filename.endswith(".pt") and member.file_size
        ]
    if found:
        raise InputError(f"a pickle in an archive is not opened: {found[0]}", where=str(path), advice="export it anew")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch's threads belong to the process, so they are given back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
