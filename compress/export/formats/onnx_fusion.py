"""Attention fusion for ONNX Runtime, block by block, with each block's own number of heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from compress.core.extras import optional
from compress.export.traceable import Traceable

__all__ = ["fuse_attention", "is_sound"]

PURPOSE = "the format onnx"
OWN = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


def fuse_attention(graph: Any, model: Traceable) -> tuple[Any, int]:
    """A copy of the graph with each block's attention fused into one node, and the number of fused nodes.

    Args:
        graph: an ONNX model of the TorchScript exporter, with eager attention.
        model: gives the hidden size and the size of a head.

    Returns:
        The copy, and 0 where ONNX Runtime's pattern does not match the family's blocks.
    """
    optimizer = optional("onnxruntime.transformers.optimizer", extra="onnx", purpose=PURPOSE)
    if not model.head_size:
        return graph, 0
    copy = type(graph)()
    copy.CopyFrom(graph)
    merged = optimizer.optimize_by_fusion(
        copy,
        model_type="bert",
        num_heads=max(1, model.hidden // model.head_size),
        hidden_size=model.hidden,
        optimization_options=_options(),
    ).model
    attentions = [node for node in merged.graph.node if node.op_type == "Attention"]
    for node in attentions:
        _set_heads(merged, node, model.head_size)
    if all(imported.domain != OWN for imported in merged.opset_import):
        merged.opset_import.add(domain=OWN, version=1)
    return merged, len(attentions)


def is_sound(fused: Any, plain: Any, model: Traceable) -> bool:
    """Whether the fused graph gives the same logits on the example, and is not larger.

    ONNX Runtime's patterns are BERT's: they also match other kinds of attention (a decoder's), and they write a tensor
    that several blocks share once for each.

    Args:
        fused: an ONNX model.
        plain: the same before fusion.
        model: gives the example inputs.
    """
    if fused.ByteSize() > 1.01 * plain.ByteSize():
        return False
    pairs = zip(_answers(fused, model), _answers(plain, model), strict=True)
    return all(np.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in pairs)


def _options() -> Any:
    options = optional("onnxruntime.transformers.fusion_options", extra="onnx", purpose=PURPOSE).FusionOptions("bert")
    # A raw mask takes any padding, on either side; the runtime fuses the rest by itself when it loads the file.
    options.use_raw_attention_mask(True)
    for other in ("gelu", "bias_gelu", "layer_norm", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm"):
        setattr(options, f"enable_{other}", False)
    return options


def _set_heads(graph: Any, node: Any, head_size: int) -> None:
    """Set a node's number of heads, by the length of its bias: the fusion takes one number for all blocks."""
    widths = {tensor.name: tensor.dims[0] for tensor in graph.graph.initializer if len(tensor.dims) == 1}
    for attribute in node.attribute:
        if attribute.name == "num_heads":
            attribute.i = widths[node.input[2]] // 3 // head_size


def _answers(graph: Any, model: Traceable) -> list[np.ndarray]:
    runtime = optional("onnxruntime", extra="onnx", purpose=PURPOSE)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    known = {given.name for given in session.get_inputs()}
    given = {name: tensor.numpy() for name, tensor in zip(model.inputs, model.example) if name in known}
    return session.run(list(model.outputs), given)
