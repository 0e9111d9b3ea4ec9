"""Details of a row besides the table, as (name, value) pairs of text: size, quality, cost, facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recipes.record import Cost, Quality, Row, Size
from recipes.report import units

__all__ = ["Pair", "cost_pairs", "flat", "quality_pairs", "size_pairs"]

Pair = tuple[str, str]
MOST_ITEMS = 24


def size_pairs(row: Row) -> list[Pair]:
    """Bytes and parameters of the model."""
    pairs = _size(row.size) if row.size else []
    if row.flops:
        pairs.append(("one example, forward", units.flops(row.flops)))
    if row.load_seconds is not None:
        pairs.append(("time to load", units.seconds(row.load_seconds)))
    if row.resident_bytes is not None:
        pairs.append(("resident memory, loaded", units.bytes_(row.resident_bytes)))
    return pairs


def _size(size: Size) -> list[Pair]:
    pairs = [("model files", units.bytes_(size.bytes))]
    if size.tokenizer_bytes:
        pairs.append(("tokenizer, apart", units.bytes_(size.tokenizer_bytes)))
    if size.parameters is not None:
        pairs.append(("parameters", units.count(size.parameters)))
    if size.embedding_parameters is not None:
        pairs.append(("of them in embeddings", units.count(size.embedding_parameters)))
    if size.nonzero_parameters is not None and size.nonzero_parameters != size.parameters:
        pairs.append(("of them not zero", units.count(size.nonzero_parameters)))
    return pairs


def cost_pairs(cost: Cost | None, row: Row) -> list[Pair]:
    """Cost of the stage. A prediction has no seconds.

    Args:
        cost: of the stage; None gives no pairs.
        row: the row, for its size and facts.
    """
    if cost is None:
        return []
    pairs = [("time", units.seconds(cost.seconds))] if cost.seconds else []
    if cost.peak_bytes is not None:
        pairs.append(("peak memory", units.bytes_(cost.peak_bytes)))
    if cost.import_bytes is not None:
        pairs.append(("in use before the stage began", units.bytes_(cost.import_bytes)))
    if cost.trained_parameters:
        of = f" of {units.count(row.size.parameters)}" if row.size and row.size.parameters else ""
        pairs.append(("trained parameters", f"{units.count(cost.trained_parameters)}{of}"))
    if cost.training_flops:
        pairs.append(("training", units.flops(cost.training_flops)))
    if cost.energy_kwh is not None:
        pairs.append(("energy", f"{units.plain_number(cost.energy_kwh)} kWh"))
    return pairs


def quality_pairs(quality: Quality | None) -> list[Pair]:
    if quality is None:
        return []
    name = quality.metric
    pairs = [(f"{name} on {quality.examples:,} examples", units.score(name, quality.value))]
    if quality.select_value is not None:
        pairs.append((f"{name} on select", units.score(name, quality.select_value)))
    if quality.test and quality.p_value is not None:
        pairs.append((quality.test, units.probability(quality.p_value)))
    if quality.smallest_detectable is not None:
        pairs.append(("smallest difference it could show", units.drop(name, quality.smallest_detectable)))
    return pairs + _changes(quality)


def _changes(quality: Quality) -> list[Pair]:
    pairs = []
    if quality.agreement is not None:
        pairs.append(("same answer as the baseline", f"{units.decimal(quality.agreement * 100, 1)} %"))
    if quality.kl is not None:
        pairs.append(("mean KL divergence from it", units.nats(quality.kl)))
    if quality.broken is not None and quality.fixed is not None:
        pairs.append(("answers that turned wrong", f"{quality.broken:,}"))
        pairs.append(("answers that turned right", f"{quality.fixed:,}"))
    return pairs


def flat(data: Any, name: str = "") -> list[Pair]:
    """Any plain data as pairs, each with the names of all its levels; `_bytes` and `_seconds` turn into units.

    Args:
        data: mappings, lists and scalars.
        name: of the enclosing levels, joined by `_`; empty at the top.
    """
    if isinstance(data, dict):
        return [pair for key, value in data.items() for pair in flat(value, f"{name}, {key}" if name else str(key))]
    if isinstance(data, int | float) and name.endswith(("bytes", "seconds")):
        return [_with_unit(name, data)]
    return [(name.replace("_", " "), _words(data))]


def _with_unit(name: str, value: float) -> Pair:
    """`memory_bytes: 8e9` -> `memory`, `8.00 GB`."""
    show = units.bytes_ if name.endswith("bytes") else units.seconds
    short = name.removesuffix("_bytes").removesuffix("_seconds")
    return short.replace("_", " "), show(value)


def _words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", units.MINUS)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return _list_words(value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_words(item)}" for key, item in value.items())
    return str(value)


def _list_words(values: Sequence[Any]) -> str:
    """Each item of a short list; of a long one of numbers, how many and from where to where."""
    numbers = list(_numbers(values))
    if len(numbers) > MOST_ITEMS:
        return f"{len(numbers):,} values from {_words(min(numbers))} to {_words(max(numbers))}"
    shown = ", ".join(_words(item) for item in values[:MOST_ITEMS])
    return f"{shown}, … ({len(values):,} in all)" if len(values) > MOST_ITEMS else shown or "none"


def _numbers(values: Sequence[Any]) -> Iterator[float]:
    """The numbers in a list, or in lists inside it."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value
