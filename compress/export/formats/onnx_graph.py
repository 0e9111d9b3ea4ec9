"""What happens to an ONNX graph between PyTorch and the file: traced, fused, norms kept apart, quantized."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from compress.core.errors import StageFailed
from compress.core.optional import optional
from compress.export.traceable import Traceable

__all__ = ["fuse_attention", "integer_nodes", "quantize", "separate_norms", "trace"]

PURPOSE = "the format onnx"
OWN = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
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
            output_names=["logits"],
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


def fuse_attention(graph: Any, model: Traceable) -> int:
    """Merge each block's attention into one node, in place, and set its own number of heads; how many were merged.

    Raises:
        StageFailed: the graph has nothing that ONNX Runtime's fusion knows.
    """
    optimizer = optional("onnxruntime.transformers.optimizer", extra="onnx", purpose=PURPOSE)
    options = optional("onnxruntime.transformers.fusion_options", extra="onnx", purpose=PURPOSE).FusionOptions("bert")
    # A raw mask takes any padding, on either side; the runtime fuses the rest by itself when it loads the file.
    options.use_raw_attention_mask(True)
    for other in ("gelu", "bias_gelu", "layer_norm", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm"):
        setattr(options, f"enable_{other}", False)
    fused = optimizer.optimize_by_fusion(
        graph,
        model_type="bert",
        num_heads=model.hidden // model.head_size if model.head_size else 0,
        hidden_size=model.hidden,
        optimization_options=options,
    )
    graph.CopyFrom(fused.model)
    merged = [node for node in graph.graph.node if node.op_type == "Attention"]
    if not merged:
        raise StageFailed(
            f"ONNX Runtime's attention fusion does not know the blocks of a {model.model_type} model",
            advice="set fuse: false",
        )
    for node in merged:
        _set_heads(graph, node, model.head_size)
    _import_own_operators(graph)
    return len(merged)


def _import_own_operators(graph: Any) -> None:
    if all(imported.domain != OWN for imported in graph.opset_import):
        graph.opset_import.add(domain=OWN, version=1)


def _set_heads(graph: Any, node: Any, head_size: int) -> None:
    """The fusion takes one number of heads for all blocks; a block that lost heads has fewer, and its bias tells."""
    widths = {tensor.name: tensor.dims[0] for tensor in graph.graph.initializer if len(tensor.dims) == 1}
    for attribute in node.attribute:
        if attribute.name == "num_heads":
            attribute.i = widths[node.input[2]] // 3 // head_size


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


def integer_nodes(graph: Any) -> int:
    """How many nodes multiply in integers."""
    return sum(node.op_type in INTEGER for node in graph.graph.node)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
