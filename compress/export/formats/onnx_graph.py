"""What happens to an ONNX graph between PyTorch and the file: traced, norms kept apart, quantized, each weight once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from compress.core.errors import StageFailed
from compress.core.extras import optional
from compress.export.traceable import Traceable

__all__ = ["each_weight_once", "integer_nodes", "quantize", "separate_norms", "trace"]

PURPOSE = "the format onnx"
INTEGER = frozenset({"MatMulInteger", "QAttention", "ConvInteger"})


def trace(model: Traceable, path: Path, *, opset: int) -> Any:
    """The ONNX model of `model`, by the TorchScript exporter: ONNX Runtime's fusions know only its graphs.

    Raises:
        StageFailed: the model has a part that this exporter cannot write.
    """
    onnx = optional("onnx", extra="onnx", purpose=PURPOSE)
    try:
        torch.onnx.export(
            model.module,
            model.example,
            str(path),
            input_names=list(model.inputs),
            output_names=list(model.outputs),
            dynamic_axes=model.dynamic_axes(),
            opset_version=opset,
            dynamo=False,
        )
    except Exception as error:  # the exporter raises whatever the traced code raises
        raise StageFailed(
            f"a {model.model_type} model cannot be written as ONNX: {_first_line(error)}",
            advice="try another format; 'trimformer list families' shows what works on which family",
        ) from error
    return onnx.load_model(str(path))


def separate_norms(graph: Any) -> int:
    """Let `Sum` add the residual before each layer norm, in place; how many were changed.

    ONNX Runtime merges `Add` and `LayerNormalization` into `SkipLayerNormalization` when it loads a file. Its kernel is
    scalar: 0.9 ms for 8 x 128 tokens of width 384 on two AVX-512 cores, against 0.3 ms for the two apart. It does
    not look at `Sum`, which computes the same.
    """
    producers = {output: node for node in graph.graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.graph.initializer}
    norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
    additions = [producers[norm.input[0]] for norm in norms if norm.input[0] in producers]
    residuals = [node for node in additions if node.op_type == "Add" and not constants.intersection(node.input)]
    for node in residuals:
        node.op_type = "Sum"
    return len(residuals)


def quantize(graph: Any, *, per_channel: bool, reduce_range: bool) -> Any:
    """The graph with int8 weights, embedding tables too; activations are quantized call by call."""
    onnx = optional("onnx", extra="onnx", purpose=PURPOSE)
    quantization = optional("onnxruntime.quantization", extra="onnx", purpose=PURPOSE)
    # Shapes that an exporter left behind can contradict the graph; the quantizer infers its own.
    del graph.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save_model(graph, str(before))
        quantization.quantize_dynamic(
            str(before),
            str(after),
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=quantization.QuantType.QInt8,
            # Shape inference stops at ONNX Runtime's own operators; what follows them is float.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return onnx.load_model(str(after))


def each_weight_once(graph: Any) -> Any:
    """The graph with equal weights stored once, and read without a detour.

    Of a tensor that several layers share the exporter writes one copy, and an `Identity` for each further layer: behind
    it the quantizer sees no constant, and leaves that layer in floating point. Fusions write copies of their own.
    """
    ir = optional("onnx_ir", extra="onnx", purpose=PURPOSE)
    passes = optional("onnx_ir.passes.common", extra="onnx", purpose=PURPOSE)
    model = ir.from_proto(graph)
    passes.IdentityEliminationPass()(model)
    passes.DeduplicateHashedInitializersPass()(model)
    return ir.to_proto(model)


def integer_nodes(graph: Any) -> int:
    """How many nodes multiply in integers."""
    return sum(node.op_type in INTEGER for node in graph.graph.node)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
