"""Changed tokenization: evaluation texts that a new tokenizer splits into other subword tokens than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compress.core.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

    from finetune.tasks.task import Task

__all__ = ["ENCODING", "cut_otherwise", "encoding_facts"]

ENCODING = "encoded_differently"
"""Name of the fact."""
MUCH = 0.05
"""Above this share the report warns."""
UNTRAINED = "where the metric fell by it, keep more words (`also`, `top`), or let the model `recover`"
TRAINED = "the model was trained on its new pieces; where the metric fell all the same, keep more words (`also`, `top`)"


def encoding_facts(
    before: Any, after: Any, task: Task, rows: Dataset, *, recovered: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Share of rows with other subword tokens by `after` than by `before`, as facts; a warning where it is high.

    Nothing where both are the same, or the task has no text.

    Args:
        recovered: whether the model was fine-tuned with the new tokenizer since.
    """
    from compress.distill.teacher import same_tokens

    if before is None or after is None or same_tokens(before, after):
        return {}, []
    try:
        columns = task.text_columns(rows)
    except InputError:
        return {}, []
    other, total = cut_otherwise(before, after, columns), len(rows)
    share = other / max(1, total)
    many = f"{share:.1%} of the evaluation texts ({other} of {total}) are cut into other pieces than before"
    advice = TRAINED if recovered else UNTRAINED
    warning = [f"{many}, above {MUCH:.0%}: {advice}"] if share > MUCH else []
    return {ENCODING: {"rows": other, "of": total, "share": round(share, 4)}}, warning


def cut_otherwise(before: Any, after: Any, columns: Sequence[Sequence[str]]) -> int:
    """Number of rows with a text that the two tokenizers split into different subword tokens.

    Args:
        before: a tokenizer.
        after: a tokenizer.
        columns: of texts, one entry for each row.
    """
    differing: set[int] = set()
    for column in columns:
        pieces = [_pieces(tokenizer, column) for tokenizer in (before, after)]
        differing |= {row for row, (one, other) in enumerate(zip(*pieces, strict=True)) if one != other}
    return len(differing)


def _pieces(tokenizer: Any, texts: Sequence[str]) -> list[list[str]]:
    encoded = tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]
    return [tokenizer.convert_ids_to_tokens(ids) for ids in encoded]
