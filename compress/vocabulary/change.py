"""Changes of a vocabulary, as plain data: which tokens stay."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.embeddings import named_words
from compress.core.model.sketch import Sketch
from compress.core.surgery.embeddings import keep_words
from compress.core.values import Count
from compress.vocabulary.tokenizers.trimming import new_ids, trimmed_tokenizer

__all__ = ["KeepWordCount", "KeepWords", "ids_from_text", "ids_to_text"]


def ids_to_text(ids: tuple[int, ...]) -> str:
    """Ascending ids as ranges, in about a tenth of the characters.

    Example:
        >>> ids_to_text((0, 1, 2, 7, 9, 10))
        '0-2 7 9-10'
    """
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def ids_from_text(text: Any) -> Any:
    """Inverse of `ids_to_text`; anything that is no string stays as it is.

    Example:
        >>> ids_from_text("0-2 7")
        (0, 1, 2, 7)
    """
    if not isinstance(text, str):
        return text
    ends = [run.split("-") for run in text.split()]
    return tuple(number for end in ends for number in range(int(end[0]), int(end[-1]) + 1))


Ids = Annotated[tuple[int, ...], BeforeValidator(ids_from_text), PlainSerializer(ids_to_text, when_used="json")]


class KeepWords(Change):
    """Trimmed vocabulary: these tokens stay, with their rows of the embedding matrix and of a tied output.

    They get new ids in the same order.
    """

    kept: Ids
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        tokenizer = trimmed_tokenizer(bundle.processor, self.kept)
        keep_words(bundle.model, bundle.family, new_ids(self.kept))
        bundle.processor, bundle.states = tokenizer, bundle.states | {"trimmed"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"vocabulary": {"rows": len(self.kept), "of": self.of}}


class KeepWordCount(Change):
    """Trimmed vocabulary of a given size; which tokens stay is decided by data, so the tokenizer stays as it is."""

    count: Count
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        named = sorted(named_words(bundle.model, bundle.family))
        others = [number for number in range(self.of) if number not in set(named)]
        keep_words(bundle.model, bundle.family, new_ids([*named, *others][: self.count]))
        bundle.states = bundle.states | {"trimmed"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"vocabulary": {"rows": self.count, "of": self.of}}
