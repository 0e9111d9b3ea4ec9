"""Passes on an OpenVINO graph: tracing, and static quantization by NNCF."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compress.core.errors import StageFailed
from compress.core.extras import optional
from compress.core.model.evaluation import Batch
from compress.export.traceable import Traceable

__all__ = ["integer_nodes", "quantize", "trace"]


def trace(model: Traceable) -> Any:
    """The OpenVINO model of `model`, with named inputs of any batch size and length.

    Raises:
        StageFailed: the model has a part that the converter cannot write.
    """
    openvino = optional("openvino", extra="openvino", purpose="the format openvino")
    try:
        graph = openvino.convert_model(model.module, example_input=model.example)
    except Exception as error:  # the converter raises whatever the traced code raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StageFailed(
            f"a {model.model_type} model cannot be written for OpenVINO: {first}",
            advice="try another format; 'trimformer list families' shows what works on which family",
        ) from error
    for given, name in zip(graph.inputs, model.inputs):
        given.get_tensor().set_names({name})
    for given, name in zip(graph.outputs, model.outputs):
        given.get_tensor().set_names({name})
    graph.reshape({name: _shape(tensor) for name, tensor in zip(model.inputs, model.example)})
    return graph


def _shape(tensor: Any) -> list[int]:
    return [-1, -1] if tensor.dim() == 2 else [-1, *tensor.shape[1:]]


def quantize(graph: Any, inputs: tuple[str, ...], rows: Iterable[Batch], *, preset: str) -> tuple[Any, int]:
    """Static quantization: the graph with int8 weights and activations, and the number of calibration rows.

    Args:
        graph: an fp32 OpenVINO model.
        inputs: names of its inputs.
        rows: calibration batches of one row each, so that no padding enters the ranges.
        preset: `mixed` or `performance`.
    """
    nncf = optional("nncf", extra="openvino", purpose="the format openvino at int8")
    nncf.set_log_level("ERROR")
    drawn = [{name: row[name].cpu().numpy() for name in inputs} for row in rows]
    quantized = nncf.quantize(
        graph,
        nncf.Dataset(drawn),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(drawn),
    )
    return quantized, len(drawn)


def integer_nodes(graph: Any) -> int:
    """Number of matrix multiplications with int8 weights."""
    return sum(op.get_type_name() == "MatMul" and _has_int8_weight(op) for op in graph.get_ops())


def _has_int8_weight(multiplication: Any) -> bool:
    node = multiplication.input_value(1).get_node()
    while node.get_type_name() in {"Multiply", "Subtract", "Convert", "Transpose"}:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in {"i8", "u8"}
