"""Architecture of a saved model: a stock one where its configuration determines all shapes, else `changed`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.core.checkpoint.quantized import quantization_config
from compress.core.errors import StageFailed
from compress.core.families.family import Family, base_model, has
from compress.core.layers.low_rank import factor_ranks, install
from compress.core.model.config import OURS, built_config, built_fields, stock_class, stock_config
from compress.core.model.low_bit import stored_linears
from compress.core.model.sharing import shared_parts

__all__ = [
    "Difference",
    "difference_to_stock",
    "is_stock",
    "write_config",
]

Difference = dict[str, Any]
"""What `changed` makes of a stock model and its file. `linears` and `tables`: path -> rank of what is kept as two
factors; `shapes`: parameter -> shape, also of biases that the stock linears lack; `attributes`: path -> value;
`shared`: what `shared_parts` says; where the width was cut, `config`: field -> the value that the stock model is built
with, and `head`: parameter of the task's head -> shape, None where a dimension is as the configuration says;
`compact`: name in the file -> shape."""

LAYERS = Path(__file__).parents[1] / "layers"
CODE = ("changed.py", "low_rank.py", "bits.py")
"""What opens a directory that stock code cannot, and what it imports beside it."""


def is_stock(model: nn.Module, family: Family) -> bool:
    """Whether the configuration alone determines all shapes, numbers of heads, and shared tensors.

    Args:
        model: with or without a head.
        family: of the model.
    """
    return not any(difference_to_stock(model, family).values())


def difference_to_stock(
    model: nn.Module, family: Family, *, compact: Mapping[str, tuple[int, ...]] | None = None
) -> Difference:
    """Difference of the model to the stock model of its configuration; paths are relative to the base model.

    Args:
        model: with or without a head.
        family: of the model.
        compact: name in the file -> shape, of the weights that are saved as bits and values.

    Raises:
        StageFailed: the model has other parameters than its stock class, so that it cannot be saved as a difference.
    """
    base = base_model(model)
    linears, tables = factor_ranks(base)
    with torch.device("meta"):
        whole = stock_class(model)(built_config(model))
    install(whole, linears, tables)
    plain = base_model(whole)
    ours, theirs = _shapes(base), _shapes(plain)
    odd = sorted((ours.keys() ^ theirs.keys()) - _added_biases(ours, plain))
    if odd:
        raise StageFailed(
            f"this {family.model_type} model cannot be saved: parameters differ from the stock model's in name",
            given=odd[:4],
        )
    paths = [
        f"{record.blocks}.{i}.{path}"
        for record in family.stacks(model, "output")
        for i in range(len(record.module_list(model)))
        for path in record.head_attributes
    ]
    values = {path: attrgetter(path)(base) for path in paths if has(base, path)}
    return {
        "linears": linears,
        "tables": tables,
        "shapes": {path: list(shape) for path, shape in ours.items() if shape != theirs.get(path)},
        "attributes": {path: value for path, value in values.items() if value != attrgetter(path)(plain)},
        "shared": shared_parts(model, family),
        **({"config": built_fields(model), "head": _head_shapes(model, whole)} if built_fields(model) else {}),
        **({"compact": {name: list(shape) for name, shape in compact.items()}} if compact else {}),
    }


def _head_shapes(model: nn.Module, plain: nn.Module) -> dict[str, list[int | None]]:
    """Parameters of the head whose shape differs -> their shape, None for dimensions that are equal."""
    base = {id(parameter) for parameter in base_model(model).parameters()}
    theirs = {name: parameter.shape for name, parameter in plain.named_parameters()}
    ours = {name: parameter.shape for name, parameter in model.named_parameters() if id(parameter) not in base}
    return {
        name: [size if size != other else None for size, other in zip(shape, theirs[name])]
        for name, shape in ours.items()
        if shape != theirs[name]
    }


def _added_biases(ours: Iterable[str], plain: nn.Module) -> set[str]:
    """Biases of the model whose linear has none in the stock model, where it could have one."""
    owners = {f"{path}.bias" for path, module in plain.named_modules() if getattr(module, "bias", 0) is None}
    return owners.intersection(ours)


def write_config(model: nn.Module, directory: Path, difference: Difference) -> None:
    """Write `config.json`, and the code that opens the directory where stock code cannot.

    Args:
        model: with its head.
        directory: exists.
        difference: to the stock model.
    """
    config = stock_config(model)
    config.dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    quantized = quantization_config(model)
    for name in CODE:
        (directory / name).unlink(missing_ok=True)
    if any(difference.values()):
        config = _changed_config(model, config, difference)
        for name in CODE:
            shutil.copyfile(LAYERS / name, directory / name)
    if quantized:
        config.quantization_config = quantized
    config.save_pretrained(directory)
    _write_labels(config, directory / "config.json")


def _write_labels(config: Any, path: Path) -> None:
    """transformers leaves two labels out as a default, also where the family's default is three (BART)."""
    data = json.loads(path.read_text("utf-8"))
    data["id2label"] = {str(number): label for number, label in config.id2label.items()}
    data["label2id"] = config.label2id
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", "utf-8")


def _changed_config(model: nn.Module, config: Any, difference: Difference) -> Any:
    from compress.core.layers import changed

    data = {k: v for k, v in config.to_dict().items() if k not in OURS}
    found = getattr(changed, type(config).__name__).from_dict(data)
    found.trimformer = difference
    found.auto_map = {
        "AutoConfig": f"changed.{type(config).__name__}",
        "AutoModel": f"changed.{stock_class(base_model(model)).__name__}",
        **{auto: f"changed.{stock_class(model).__name__}" for auto in _auto_classes(model)},
    }
    return found


def _auto_classes(model: nn.Module) -> list[str]:
    """Names of the AutoModelFor... that open this class."""
    from transformers.models.auto import modeling_auto

    name = stock_class(model).__name__
    return [
        auto
        for auto, cls in vars(modeling_auto).items()
        if auto.startswith("AutoModelFor") and name in _names(getattr(cls, "_model_mapping", None))
    ]


def _names(mapping: Any) -> set[str]:
    values = getattr(mapping, "_model_mapping", {}).values()
    return {name for value in values for name in ((value,) if isinstance(value, str) else value)}


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Parameter -> its shape; of a quantized weight that of the dense one."""
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters(remove_duplicate=False)}
    for path, linear in stored_linears(module).items():
        sizes = (linear.out_features, linear.in_features)
        shapes[f"{path}.weight"] = sizes[::-1] if linear.transposed else sizes
    return shapes
