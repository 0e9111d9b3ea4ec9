"""Passes on an ONNX graph: tracing, keeping LayerNorms unfused, dynamic quantization, deduplicating initializers."""

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
    """The ONNX model of `model`, by the TorchScript exporter, the only one whose graphs ONNX Runtime's fusions match.

    Args:
        model: module, example inputs and names.
        path: of the file that the exporter writes.
        opset: version of the ONNX operator set, 17 to 21.

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
    """Replace the `Add` of the residual before each LayerNorm by `Sum`, in place; returns how many were replaced.

    ONNX Runtime fuses `Add` and `LayerNormalization` into `SkipLayerNormalization` when it loads a file. Its kernel is
    scalar: 0.9 ms for 8 x 128 tokens at hidden size 384 on two AVX-512 cores, against 0.3 ms for the two apart. `Sum`
    computes the same and is not in its pattern.
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
    """Dynamic quantization: the graph with int8 weights, embeddings too; activations are quantized in each call.

    Args:
        graph: an fp32 ONNX model.
        per_channel: one scale for each output channel, not one for each weight.
        reduce_range: 7-bit weights.
    """
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
    """The graph with equal initializers stored once, and without `Identity` nodes in front of them.

    Of a tensor that several layers share the exporter writes one copy, and an `Identity` for each further layer, whose
    output the quantizer does not take for a constant, so that the layer would stay in floating point. Fusions write
    further copies.
    """
    ir = optional("onnx_ir", extra="onnx", purpose=PURPOSE)
    passes = optional("onnx_ir.passes.common", extra="onnx", purpose=PURPOSE)
    model = ir.from_proto(graph)
    passes.IdentityEliminationPass()(model)
    passes.DeduplicateHashedInitializersPass()(model)
    return ir.to_proto(model)


def integer_nodes(graph: Any) -> int:
    """Number of nodes with integer matrix multiplication."""
    return sum(node.op_type in INTEGER for node in graph.graph.node)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
