"""Opening a checkpoint for a task: with its own head where that fits, else with a fresh one drawn by the seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.core.checkpoint.masks import read_masks
from compress.core.checkpoint.open import library, open_processor, open_weights, quiet
from compress.core.checkpoint.quantized import put_on_meta
from compress.core.checkpoint.reconcile import reconciled
from compress.core.checkpoint.record import history
from compress.core.checkpoint.resolve import Checkpoint, Reference, not_found
from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.head import TaskHead
from compress.core.model.low_bit import storage_of
from compress.core.model.sharing import forget_block_ties
from compress.core.model.state import known_states

__all__ = ["load_source"]


def load_source(
    reference: Reference,
    *,
    head: TaskHead | str,
    labels: tuple[str, ...] | None = None,
    regression: bool = False,
    seed: int = 0,
    meta: bool = False,
) -> Bundle:
    """The model that `reference` names, in fp32 on the CPU, with the head that a task needs.

    A head of the checkpoint that fits (same kind, same number of labels) is kept, and the state `head_trained` is set;
    otherwise a fresh head is initialised by `seed`, with a remark in the bundle's `notes`. A pooler that the checkpoint
    lacks is part of the head. Code in a checkpoint's directory is never run.

    Args:
        reference: a hub id, a directory, or {package, path}.
        head: that a task needs, or its kind: `sequence_classification`, ... as in AutoModelFor...
        labels: for a kind, the names of the labels in order, or None to take the checkpoint's.
        regression: for a kind, one number instead of labels.
        seed: of the fresh head; two loads with one seed are equal to the bit.
        meta: build the shapes alone from `config.json`; no weights are needed or read.

    Raises:
        InputError: there is no such model, it has no weights or only pickled ones, or they lack parts of the model.
        UnknownName: its family is not supported.
        Refusal: its family has no such head.
    """
    checkpoint = Checkpoint.at(reference)
    wanted = TaskHead.of_labels(head, labels, regression=regression) if isinstance(head, str) else head
    config = _open_config(checkpoint)
    family = family_of(config.model_type)
    model_class = _class_for(config, family, wanted.kind)
    own_labels = _own_labels(config, model_class)
    for field, value in wanted.settings().items():
        setattr(config, field, value)
    if meta:
        with torch.device("meta"), quiet():
            model = model_class(config)
        forget_block_ties(model, family)
        put_on_meta(model, checkpoint.half)
        missing: set[str] = set()
    else:
        model, missing = _open_weights(checkpoint, model_class, config, family, seed)
    found, record = checkpoint.found, checkpoint.record
    trained, notes = _judge(model, own_labels, wanted, missing, record)
    states: Any = known_states(record.get("states", ())) - {"head_trained"} | ({"head_trained"} if trained else set())
    if storage_of(model) != "fp32":
        states |= {"quantized"}
    fresh = frozenset(missing | set(record.get("fresh", ())))
    masks = read_masks(found, record) if isinstance(found, Path) else {}
    processor = open_processor(found, config)
    notes = (*notes, *reconciled(processor, model.config, family))
    return Bundle(model.eval(), processor, history(record), frozenset(states), masks, notes, fresh)


def _open_config(checkpoint: Checkpoint) -> Any:
    from transformers import CONFIG_MAPPING, AutoConfig

    found = checkpoint.found
    if isinstance(found, Path):
        model_type = checkpoint.config.get("model_type")
        if model_type is None:
            raise InputError("config.json does not say its model_type", given=str(found))
        stock = CONFIG_MAPPING[family_of(model_type).model_type]
        return getattr(library(model_type), stock.__name__).from_pretrained(found)
    try:
        with quiet():
            return AutoConfig.from_pretrained(found, trust_remote_code=False)
    except OSError as error:
        raise not_found(found, error) from error
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"transformers cannot read this model's configuration: {reason}", given=found) from error


def _class_for(config: Any, family: Family, head: str) -> Any:
    import transformers

    auto = getattr(transformers, "AutoModelFor" + "".join(word.capitalize() for word in head.split("_")), None)
    if auto is None:
        raise InputError("transformers has no such head", given=head, advice="for example sequence_classification")
    stock_config = transformers.CONFIG_MAPPING[family.model_type]
    if stock_config not in auto._model_mapping:
        raise Refusal(f"a {family.model_type} model has no head for {head.replace('_', ' ')}", given=head)
    found = auto._model_mapping[stock_config]
    names = [cls.__name__ for cls in (found if isinstance(found, (list, tuple)) else [found])]
    return getattr(library(config.model_type), next((n for n in names if n in (config.architectures or ())), names[0]))


def _open_weights(
    checkpoint: Checkpoint, model_class: Any, config: Any, family: Family, seed: int
) -> tuple[Any, set[str]]:
    """The model, and the names of its parameters that the checkpoint does not have in this shape."""
    options = {"dtype": torch.float32, "ignore_mismatched_sizes": True, "output_loading_info": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, report = open_weights(checkpoint, model_class, config=config, **options)
    missing = set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}
    lost = sorted(key for key in missing if not set(key.split(".")) & set(family.head_modules))
    if lost:
        raise InputError(
            f"the weights lack {len(lost)} tensors of the model itself (or have them in other shapes): {lost[0]}, ...",
            given=str(checkpoint.found),
            advice="config.json and model.safetensors do not belong together",
        )
    return model, missing


def _own_labels(config: Any, model_class: Any) -> tuple[str, ...] | None:
    """The labels of the checkpoint's own head, or None where it has no such head."""
    if model_class.__name__ not in (config.architectures or ()):
        return None
    return tuple(str(config.id2label[number]) for number in sorted(config.id2label))


def _judge(
    model: nn.Module, own: tuple[str, ...] | None, wanted: TaskHead, missing: set[str], record: Mapping[str, Any]
) -> tuple[bool, tuple[str, ...]]:
    """Whether the head is trained, and remarks on it for the user."""
    config: Any = model.config
    if own is None:
        return False, ("the checkpoint has no head for this task: a fresh one is drawn by the seed",)
    if len(own) != config.num_labels:
        return False, (
            f"the checkpoint's head has {len(own)} labels, the task has {config.num_labels}: a fresh one is drawn",
        )
    if missing:
        return False, (f"the checkpoint lacks parts of its head, drawn by the seed: {', '.join(sorted(missing))}",)
    if record and "head_trained" not in record.get("states", ()):
        return False, ("the head of this checkpoint was never trained",)
    return True, () if wanted.names is None else _align(model, own, wanted.names)


def _align(model: nn.Module, own: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Sort the rows of the head where the checkpoint has the task's labels in another order."""
    ours, theirs = [label.casefold() for label in asked], [label.casefold() for label in own]
    if ours == theirs or set(ours) != set(theirs):
        return ()
    order = torch.tensor([theirs.index(label) for label in ours])
    base = set(base_model(model).modules())
    last = [m for m in model.modules() if isinstance(m, nn.Linear) and m not in base and m.out_features == len(own)][-1]
    for tensor in (last.weight, last.bias):
        if tensor is not None and tensor.device.type != "meta":
            tensor.data = tensor.data[order]
    return (f"the checkpoint has the labels in the order {', '.join(own)}: its head was sorted to the task's",)
