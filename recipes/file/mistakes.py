"""Mistakes in a recipe as one message: where, what was given, what to do. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compress.core.errors import InputError, UnknownName, near
from recipes.file.locate import Place, find_place, keys

__all__ = ["Mistakes", "in_one", "located", "mistakes"]

Words = tuple[Any, ...]
LOOKED_AT, SAID = 200, 20
"""Of very many mistakes these are put in order, and these are said: the first."""
_TYPES = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), "a mapping"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text",
    "finite_number": "a finite number",
}


class Mistakes(InputError):
    """Several mistakes in one recipe; `errors` has each, or of very many the first."""

    def __init__(self, errors: list[InputError], *, more: int = 0):
        self.errors, self.more = errors[:SAID], more + max(0, len(errors) - SAID)
        super().__init__(f"{len(errors) + more} mistakes")

    def __str__(self) -> str:
        rest = [f"and {self.more} more"] if self.more else []
        return "\n".join([f"{self.what}:", *(f"- {error}".replace("\n", "\n  ") for error in self.errors), *rest])


def in_one(errors: list[InputError], *, more: int = 0) -> InputError:
    """One error that says `errors`.

    Args:
        errors: mistakes in the order of the file.
        more: how many there are beside them.
    """
    return errors[0] if len(errors) == 1 and not more else Mistakes(errors, more=more)


def located(error: InputError, place: str) -> None:
    """Put the place in the recipe before the one that the error has, in place.

    Args:
        error: what was found.
        place: `file:line: path`.
    """
    error.where = f"{place}: {error.where}" if error.where else place


def mistakes(
    root: type[BaseModel],
    data: Any,
    error: ValidationError,
    *,
    where: Callable[[Words], str],
    line: Callable[[Words], int],
) -> InputError:
    """What pydantic found wrong in `data`, in words, in the order of the file.

    Args:
        root: the settings class that `data` should have been.
        data: plain data.
        error: what pydantic says.
        where: path in words -> `file:line: path`.
        line: path in words -> line.
    """
    found: dict[Words, tuple[Words, InputError]] = {}
    first = error.errors(include_url=False)[:LOOKED_AT]
    details = [(detail, find_place(root, data, detail["loc"])) for detail in first]
    for detail, place in details:
        if _other_type(detail, place, [other.words for _, other in details]):
            continue
        missing = detail["type"] == "missing"
        words = place.words[:-1] if missing else place.words
        if detail["type"] == "unknown_choice" and isinstance(place.value, dict):
            words = (*words, *place.value)
        key = (*words, detail["loc"][-1]) if missing else words
        if key in found:  # one value, tried as each type of a union
            found[key] = (words, _either(found[key][1], detail))
        else:
            found[key] = (words, _mistake(detail, place, where(words)))
    return in_one(
        [error for _, error in sorted(found.values(), key=lambda pair: line(pair[0]))],
        more=error.error_count() - len(first),
    )


def _mistake(detail: ErrorDetails, place: Place, where: str) -> InputError:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail.get("input")
    fields = keys(place.owner)
    key = detail["loc"][-1] if detail["loc"] else ""
    if kind == "extra_forbidden":
        return UnknownName("key", str(key), fields, where=where)
    if kind == "missing":
        described = fields[key].description if key in fields else None
        return InputError(
            f"the key {key!r} is missing", where=where, advice=f"add it{': ' + described if described else ''}"
        )
    if kind == "unknown_choice":
        return InputError(str(context["what"]), where=where, advice=str(context["advice"]) or None)
    if kind == "literal_error":
        expected = str(context.get("expected", ""))
        known = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
        return InputError(f"must be {expected}", where=where, given=given, advice=near(str(given), known))
    described = fields[key].description if key in fields else None
    return InputError(_message(detail), where=where, given=given, advice=described)


def _message(detail: ErrorDetails) -> str:
    """What is wrong with the value, in the words of a recipe, not of Python."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}"
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length", context.get("max_length"))
        return (
            f"must have at {'least' if kind == 'too_short' else 'most'} {limit} {'entry' if limit == 1 else 'entries'}"
        )
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    text = detail["msg"].removeprefix("Value error, ")
    return text.replace("Input should be", "must be", 1) if text.startswith("Input") else text[:1].lower() + text[1:]


def _other_type(detail: ErrorDetails, place: Place, others: list[Words]) -> bool:
    """Whether a mistake only follows from others inside the value: it is not of one type of a union, and another type
    that it could be found more; or what is wrong in a list was not counted.
    """
    depth = len(place.words)
    inside = any(len(other) > depth and other[:depth] == place.words for other in others)
    return inside and (detail["type"].endswith("_type") or detail["type"] == "too_short")


def _either(error: InputError, detail: ErrorDetails) -> InputError:
    also = _message(detail)
    if also in error.what:
        return error
    return InputError(f"{error.what}, or {also}", where=error.where, given=error.given, advice=error.advice)
