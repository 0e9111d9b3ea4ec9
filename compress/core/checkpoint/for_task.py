"""Opening a checkpoint for a task: with its own head where that fits, else with a fresh one drawn by the seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from compress.core.checkpoint.config import library, open_config, remarks
from compress.core.checkpoint.labels import aligned, unlike_its_head
from compress.core.checkpoint.loaded import Loaded
from compress.core.checkpoint.masks import check_masks, read_masks
from compress.core.checkpoint.open import open_shapes, open_weights
from compress.core.checkpoint.own_head import named_head, own_head, redraw
from compress.core.checkpoint.processor import open_processor
from compress.core.checkpoint.reconcile import reconciled
from compress.core.checkpoint.record import history
from compress.core.checkpoint.resolve import Checkpoint, Reference
from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.head import TaskHead
from compress.core.model.low_bit import storage_of
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
    config = open_config(checkpoint)
    family = family_of(config.model_type)
    model_class = _class_for(config, family, wanted.kind)
    own_labels = tuple(str(config.id2label[number]) for number in sorted(config.id2label))
    for field, value in wanted.settings().items():
        setattr(config, field, value)
    model, loaded = _opened(checkpoint, model_class, config=config, seed=seed, meta=meta, family=family)
    record = checkpoint.record
    loaded, reason = _judge(model, loaded, own_labels, wanted=wanted, checkpoint=checkpoint, seed=seed)
    notes, own_labels = unlike_its_head(checkpoint, own_labels, outputs=model.config.num_labels)
    if reason:
        notes = (reason,)
    elif wanted.names is not None:
        notes += aligned(model, own=own_labels, asked=wanted.names)
    states: Any = known_states(record.get("states", ())) - {"head_trained"} | (set() if reason else {"head_trained"})
    if storage_of(model) != "fp32":
        states |= {"quantized"}
    masks = read_masks(checkpoint.found, record)
    check_masks(masks, model, given=checkpoint.name)
    processor = open_processor(checkpoint.found, config)
    agreed = reconciled(processor, model.config, family)
    return Bundle(
        model.eval(),
        processor,
        history(record),
        frozenset(states),
        masks,
        (*notes, *agreed, *loaded.notes, *remarks(checkpoint)),
        loaded.fresh | frozenset(record.get("fresh", ())),
        head_note=reason,
    )


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


def _opened(
    checkpoint: Checkpoint, model_class: Any, *, config: Any, seed: int, meta: bool, family: Family
) -> tuple[Any, Loaded | None]:
    """The model, and what was taken from its file; nothing is known of that where there are shapes alone."""
    if meta:
        return open_shapes(checkpoint, model_class, config=config, heads=family.head_modules)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_weights(checkpoint, model_class, config=config, dtype=torch.float32, heads=family.head_modules)


def _judge(
    model: Any, loaded: Loaded | None, own: tuple[str, ...], *, wanted: TaskHead, checkpoint: Checkpoint, seed: int
) -> tuple[Loaded, str | None]:
    """What was taken from the file, and why the head does not count as trained, or None where it does."""
    other = named_head(model.config, model)
    if loaded is None:
        return Loaded(), _by_configuration(model, own, checkpoint)
    reason = own_head(model, loaded, wanted=wanted, record=checkpoint.record)
    if reason or other is None:
        return loaded, reason
    fresh = redraw(model, seed=seed) | loaded.fresh
    return replace(loaded, fresh=fresh), f"the checkpoint's head is that of a {other}: a fresh one is drawn by the seed"


def _by_configuration(model: Any, own: tuple[str, ...], checkpoint: Checkpoint) -> str | None:
    """`own_head` without weights: what config.json says."""
    config, record = model.config, checkpoint.record
    if type(model).__name__ not in (config.architectures or ()):
        return "the checkpoint has no head for this task: a fresh one is drawn by the seed"
    if len(own) != config.num_labels:
        return f"the checkpoint's head has {len(own)} labels, the task has {config.num_labels}: a fresh one is drawn"
    if record and "head_trained" not in record.get("states", ()):
        return "the head of this checkpoint was never trained"
    return None
