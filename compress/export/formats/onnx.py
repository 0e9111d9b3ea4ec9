"""ONNX for ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from compress.core.checkpoint.usage import Usage
from compress.core.errors import StageFailed
from compress.core.extras import optional
from compress.export.format import Calibration, Format, Manifest, RuntimeSession, named_inputs
from compress.export.formats.onnx_fusion import fuse_attention, is_sound
from compress.export.formats.onnx_graph import each_weight_once, integer_nodes, quantize, separate_norms, trace
from compress.export.quiet import quiet
from compress.export.session import chosen
from compress.export.traceable import Traceable

__all__ = ["Onnx"]

FILE = "model.onnx"


class Onnx(Format):
    """ONNX for ONNX Runtime (`model.onnx`); int8 is dynamic quantization, with a scale per output channel of a weight.

    Activations are quantized in each call, by the range of all that is in it: so at int8 an answer can depend on the
    other rows of its batch and on their padding. On 500 texts in batches of 8, 4 to 7 answers were others than one by
    one; the report measures the answers at the batch size that is served. `openvino` has fixed ranges.

    `fuse` replaces each block's attention by ONNX Runtime's fused operator; `auto` does so where its pattern matches
    the family's blocks, `false` keeps to the operators of the ONNX standard. On two AVX-512 VNNI cores a MiniLM of
    three layers gains 5 to 10 % by it. LayerNorms are never fused with their residuals: that was slower.
    """

    name: ClassVar[str] = "onnx"

    fuse: Literal["auto"] | bool = Field("auto", description="attention fusion: ONNX Runtime's own operator")
    per_channel: bool = Field(True, description="one scale for each output channel, not one for the whole matrix")
    reduce_range: bool = Field(False, description="7-bit weights, for CPUs without VNNI, where 8 bits can overflow")
    opset: int = Field(17, strict=True, ge=17, le=21, description="version of the ONNX operator set, 17 to 21")

    def packages(self) -> tuple[tuple[str, str], ...]:
        return (("onnx", "onnx"), ("onnxruntime", "onnx"))

    def write(self, model: Traceable, directory: Path, calibration: Calibration) -> Manifest:
        onnx = optional("onnx", extra="onnx", purpose="the format onnx")
        runtime = optional("onnxruntime", extra="onnx", purpose="the format onnx")
        with quiet():
            graph, fused = self._fused(each_weight_once(trace(model, directory / FILE, opset=self.opset)), model)
            separate_norms(graph)
            if self.precision == "int8":
                graph = quantize(graph, per_channel=self.per_channel, reduce_range=self.reduce_range)
            graph = each_weight_once(graph)
            onnx.save_model(graph, str(directory / FILE))
        return {
            "runtime": "onnxruntime",
            "opset": self.opset,
            "fused_attentions": fused,
            "nodes": len(graph.graph.node),
            "integer_nodes": integer_nodes(graph),
            "versions": {"onnx": onnx.__version__, "onnxruntime": runtime.__version__},
        }

    def _fused(self, graph: Any, model: Traceable) -> tuple[Any, int]:
        if self.fuse is False:
            return graph, 0
        fused, count = fuse_attention(graph, model)
        if self.fuse is True and not count:
            raise StageFailed(
                f"ONNX Runtime's attention fusion does not know the blocks of a {model.model_type} model",
                advice="set fuse: auto",
            )
        return (fused, count) if count and (self.fuse is True or is_sound(fused, graph, model)) else (graph, 0)

    @classmethod
    def usage(cls, manifest: Manifest) -> Usage:
        return Usage(
            imports=("import onnxruntime",),
            opening=f'model = onnxruntime.InferenceSession(f"{{directory}}/{FILE}")',
            logits=f'model.run(["logits"], {named_inputs(manifest)})[0]',
            arrays="np",
        )

    @classmethod
    def ranges_per_call(cls, manifest: Manifest) -> bool:
        return manifest.get("precision") == "int8"

    @classmethod
    def open(cls, directory: Path, manifest: Manifest, *, threads: int, exact: bool) -> RuntimeSession:
        return _Session(directory / FILE, threads)


class _Session:
    float_type = "f32"

    def __init__(self, path: Path, threads: int) -> None:
        runtime = optional("onnxruntime", extra="onnx", purpose="an exported onnx model")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning thread keeps its core busy after the call, and slows other processes on it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = tuple(given.name for given in self._session.get_inputs())
        self._outputs = [given.name for given in self._session.get_outputs()]

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, chosen(inputs, self._names)), strict=True))

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.outputs(inputs)["logits"]
