"""OpenVINO's intermediate representation for the CPU; static int8 quantization by NNCF."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from compress.core.checkpoint.usage import Usage
from compress.core.extras import optional
from compress.core.values import Count
from compress.export.format import Calibration, Format, Manifest, RuntimeSession, named_inputs
from compress.export.formats.openvino_graph import integer_nodes, quantize, trace
from compress.export.quiet import quiet
from compress.export.session import chosen
from compress.export.traceable import Traceable

__all__ = ["Openvino"]

FILE = "openvino_model.xml"


class Openvino(Format):
    """OpenVINO IR (`openvino_model.xml`, `.bin`); int8 is NNCF's static quantization, calibrated on rows of train."""

    name: ClassVar[str] = "openvino"
    calibrated: ClassVar[bool] = True

    rows: Count = Field(128, description="calibration rows of train, for the ranges of the activations")
    preset: Literal["mixed", "performance"] = Field(
        "mixed", description="mixed: asymmetric quantization of activations where useful; performance: all symmetric"
    )

    def packages(self) -> tuple[tuple[str, str], ...]:
        needed = (("openvino", "openvino"),)
        return (*needed, ("nncf", "openvino")) if self.precision == "int8" else needed

    def write(self, model: Traceable, directory: Path, calibration: Calibration) -> Manifest:
        openvino = optional("openvino", extra="openvino", purpose="the format openvino")
        with quiet():
            graph = trace(model)
            manifest: Manifest = {"versions": {"openvino": openvino.__version__}}
            if self.precision == "int8":
                graph, drawn = quantize(graph, model.inputs, calibration(self.rows), preset=self.preset)
                nncf = optional("nncf", extra="openvino", purpose="the format openvino at int8")
                manifest = {"versions": {**manifest["versions"], "nncf": nncf.__version__}, "calibration_rows": drawn}
            openvino.save_model(graph, str(directory / FILE), compress_to_fp16=False)
        return {
            "runtime": "openvino",
            "nodes": len(graph.get_ops()),
            "integer_nodes": integer_nodes(graph),
            **manifest,
        }

    @classmethod
    def usage(cls, manifest: Manifest) -> Usage:
        return Usage(
            imports=("import openvino",),
            opening=f'model = openvino.Core().compile_model(f"{{directory}}/{FILE}", "CPU")',
            logits=f'model({named_inputs(manifest)})["logits"]',
            arrays="np",
        )

    @classmethod
    def open(cls, directory: Path, manifest: Manifest, *, threads: int, exact: bool) -> RuntimeSession:
        return _Session(directory / FILE, tuple(manifest["inputs"]), threads=threads, exact=exact)


class _Session:
    def __init__(self, path: Path, names: tuple[str, ...], *, threads: int, exact: bool) -> None:
        openvino = optional("openvino", extra="openvino", purpose="an exported openvino model")
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
        if exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        compiled: Any = openvino.Core().compile_model(str(path), "CPU", settings)
        self.float_type = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        self._request = compiled.create_infer_request()
        self._names = names
        self._outputs = [given.get_any_name() for given in compiled.outputs]

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._request.infer(chosen(inputs, self._names))
        # The request keeps its output tensors, and the next call writes over them.
        return {name: np.array(found[name], dtype=np.float32) for name in self._outputs}

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.outputs(inputs)["logits"]
