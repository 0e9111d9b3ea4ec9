"""Batches that models are timed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from compress.core.errors import InputError
from recipes.measure.probe import Bench

if TYPE_CHECKING:
    from recipes.measure.runners import Model

__all__ = ["Arrays", "arrays", "batches", "longest_input", "random_batch"]

Arrays = dict[str, np.ndarray]


def arrays(batch: Any) -> Arrays:
    """The inputs of a task's encoded batch as numpy arrays."""
    from compress.core.model.evaluation import model_inputs

    return {name: value.numpy() for name, value in model_inputs(batch).items()}


def batches(model: Model, bench: Bench, *, batch_size: int, length: int | Literal["data"], count: int) -> list[Arrays]:
    """Batches for `model`: one of random tokens at a fixed length, or `count` of evaluation rows at their own lengths.

    Models with the same tokenizer get equal batches; another tokenizer encodes the same rows itself.

    Args:
        model: an opened model.
        bench: gives the task and its evaluation rows.
        batch_size: rows of a batch.
        length: in tokens; `data` for the texts' own lengths.
        count: of batches at the data's own lengths.
    """
    if length != "data":
        return [random_batch(model, batch_size=batch_size, length=length, seed=bench.seed)]
    if bench.rows is None or bench.task is None:
        raise InputError(
            "timing at the lengths of the data needs a task", given="data", advice="give a length in tokens"
        )
    generator = np.random.default_rng(bench.seed)
    drawn = [generator.integers(0, len(bench.rows), batch_size) for _ in range(count)]
    encoded = bench.task.encoded(bench.rows, model.processor)
    return [arrays(encoded.batch(index)) for index in drawn]


def random_batch(model: Model, *, batch_size: int, length: int, seed: int) -> Arrays:
    """Batch of random ordinary tokens under a full attention mask, with the texts' last token at the end.

    Args:
        model: an opened model.
        batch_size: rows.
        length: in tokens.
        seed: of the tokens.
    """
    _check_length(model, length)
    tokenizer = model.processor
    special = set(tokenizer.all_special_ids)
    ordinary = np.array([i for i in range(_vocabulary(model)) if i not in special])
    ids = np.random.default_rng(seed).choice(ordinary, (batch_size, length)).astype(np.int64)
    for place, token in ((0, tokenizer.cls_token_id), (-1, _last_token(model))):
        if token is not None:
            ids[:, place] = token
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if "token_type_ids" in tokenizer.model_input_names:
        batch["token_type_ids"] = np.zeros_like(ids)
    return batch


def _vocabulary(model: Model) -> int:
    size = getattr(model.config, "vocab_size", None)
    if size is None:
        raise InputError("only models of text can be timed at a fixed number of tokens", given=model.config.model_type)
    return int(min(size, len(model.processor)))


def _last_token(model: Model) -> int | None:
    end = model.processor.eos_token_id
    return model.processor.sep_token_id if end is None else end


def longest_input(config: Any, processor: Any) -> int | None:
    """Maximum input length in tokens, or None where it is unlimited.

    Args:
        config: the model's transformers configuration.
        processor: its tokenizer or image processor.
    """
    from compress.core.families.family import family_of
    from compress.core.model.embeddings import position_limit

    known = getattr(config, "model_type", None)
    positions = position_limit(config, family_of(known)) if known else None
    limits = [positions, getattr(processor, "model_max_length", None)]
    return min((limit for limit in limits if limit), default=None)


def _check_length(model: Model, length: int) -> None:
    most = longest_input(model.config, model.processor)
    if most is not None and length > most:
        raise InputError(
            f"the model reads at most {most} tokens", given=length, advice="time it at a smaller sequence length"
        )
