"""Every error of trimformer, drawn as a tree.

TrimformerError
├── InputError              what the user gave cannot work; found before any work (exit code 2)
│   ├── UnknownName         a name that nothing answers to; carries the near one
│   ├── MissingPackage      an optional package; carries the pip command
│   └── Refusal             a stage cannot work on this model; carries the family and the part
└── StageFailed             work began and could not end well (exit code 1)
    ├── NonFiniteLoss       the loss became NaN or infinite
    └── ParityError         a reloaded or exported model does not give the logits it should
"""

from __future__ import annotations

from collections.abc import Iterable

from compress.core.names import close_names

__all__ = [
    "InputError",
    "MissingPackage",
    "NonFiniteLoss",
    "ParityError",
    "Refusal",
    "StageFailed",
    "TrimformerError",
    "UnknownName",
    "clipped",
    "listed",
    "near",
    "printable",
    "shown",
]

LONGEST_LINE = 1000
"""Characters of one line of a message; what is between its beginning and its end is left out."""


def printable(text: str) -> str:
    """Text that may go to a terminal: control characters escaped, and no line longer than `LONGEST_LINE`.

    Whatever a message says of foreign data (names of columns, labels, paths) passes here.
    """
    return "\n".join(clipped(_escaped(line), LONGEST_LINE) for line in text.split("\n"))


def shown(value: object, limit: int = 80) -> str:
    """`repr` of a value that comes from data, at most `limit` characters of it.

    Args:
        value: anything.
        limit: in characters.
    """
    if isinstance(value, str | list | tuple) and len(value) > limit:
        value = value[:limit]
    try:
        text = _escaped(repr(value))
    except (ValueError, RecursionError):  # of a whole number with thousands of digits, or of lists in lists in lists
        text = f"a value of type {type(value).__name__} that is too large to be shown"
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def listed(names: Iterable[object], limit: int = 20, longest: int = 40) -> str:
    """Names from data in one line, the first `limit` of them, each shortened.

    Args:
        names: of columns, files, labels or tensors.
        limit: how many are listed.
        longest: characters of one of them.
    """
    known = [clipped(_escaped(str(name)), longest) for name in names]
    more = f", ... ({len(known)} in all)" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def clipped(text: str, limit: int = 300) -> str:
    """Text of at most `limit` characters: its beginning and its end.

    Args:
        text: of any length.
        limit: in characters.
    """
    half = (limit - 5) // 2
    return text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}"


MOST_NAMES = 40
"""Names that a message lists."""


def near(given: str, known: Iterable[str]) -> str:
    """Advice for a name that is none of `known`: what is near in spelling, or what there is."""
    names = sorted(map(str, known))
    if close := close_names(given, names):
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"one of: {listed(names, MOST_NAMES) or '(none)'}"


class TrimformerError(Exception):
    """One message for one mistake: what is wrong, where, what was given, what to do.

    Args:
        what: one sentence, no full stop needed.
        where: `file:line` and/or the path in the recipe; added by whoever knows it.
        given: the offending value, shown with `repr`.
        advice: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, given: object = None, advice: str | None = None):
        self.what, self.where, self.given, self.advice = what, where, given, advice
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.given is not None:
            lines.append(f"  given: {shown(self.given, 300)}")
        if self.advice:
            lines.append(f"  to do: {self.advice}")
        return printable("\n".join(lines))


class InputError(TrimformerError):
    """What the user gave cannot work. Raised before any work is done."""

    exit_code = 2


class UnknownName(InputError):
    """`given` is none of `known`; the message names the nearest."""

    def __init__(self, kind: str, given: str, known: Iterable[str], *, where: str | None = None):
        super().__init__(f"unknown {kind} {given!r}", where=where, advice=near(given, known))


class MissingPackage(InputError):
    """A package is not installed; `extra` is the extra of trimformer that brings it, empty where it has none."""

    def __init__(self, package: str, extra: str, *, purpose: str):
        wanted = f'"trimformer[{extra}]"' if extra else package
        super().__init__(f"{purpose} needs the package {package!r}", advice=f"pip install {wanted}")


class Refusal(InputError):
    """A stage cannot work on this model; the message names the family and the part."""


class StageFailed(TrimformerError):
    """Work began and could not end well; what finished before stays."""


class NonFiniteLoss(StageFailed):
    """The loss became NaN or infinite; the message has the step, the rows and the learning rate."""


class ParityError(StageFailed):
    """A reloaded or exported model does not give the logits that it should."""
