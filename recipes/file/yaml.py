"""Reader and writer of recipe files: plain data with the line of every key; a safe subset of YAML, and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compress.core.errors import InputError, UnknownName
from compress.core.files import named_path
from recipes.file.depth import DEEPEST, too_deep

if TYPE_CHECKING:
    from recipes.file.recipe import Recipe

__all__ = [
    "BOOK",
    "Document",
    "book",
    "find",
    "parse_value",
    "read",
    "read_text",
    "yaml_text",
]

BOOK = Path(__file__).parents[1] / "book"
MOST_BYTES = 1_000_000
"""Size of a recipe's file."""
LARGEST = 2**63
"""Whole numbers are below it: what reads them counts in 64 bits."""
Words = tuple[Any, ...]


@dataclass(frozen=True)
class Document:
    """Parsed file: plain data, and the line of each part.

    Attributes:
        data: mappings, lists and scalars.
        file: the name shown in messages.
        lines: path of keys and indexes -> line, counted from 1.
    """

    data: Any
    file: str
    lines: dict[Words, int] = field(default_factory=dict)

    def locate(self, words: Words) -> tuple[str, int]:
        """File and line of the deepest part of `words` that the file holds."""
        for end in range(len(words), -1, -1):
            if words[:end] in self.lines:
                return self.file, self.lines[words[:end]]
        return self.file, 1

    def holds(self, words: Sequence[Any]) -> bool:
        """Whether there is a part at this path."""
        part = self.data
        for word in words:
            is_index = isinstance(part, list) and isinstance(word, int) and word < len(part)
            if not is_index and not (isinstance(part, dict) and word in part):
                return False
            part = part[word]
        return True


def book() -> dict[str, Path]:
    """Name -> file, of every recipe of the book, sorted by name."""
    return {path.relative_to(BOOK).with_suffix("").as_posix(): path for path in sorted(BOOK.rglob("*.yaml"))}


def find(reference: str | Path) -> Path:
    """The file that `reference` names: a path, or a recipe of the book.

    Raises:
        UnknownName: it is neither; the message has the near name of the book.
        InputError: it is a directory.
    """
    path = named_path(reference)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(
            "a recipe is a file, and this is a directory", given=str(reference), advice="name the file in it"
        )
    known = book()
    name = str(reference)
    if name in known:
        return known[name]
    raise UnknownName("recipe (neither a file nor a name of the book)", name, known)


def read(path: Path) -> Document:
    """The document in a YAML or JSON file.

    Raises:
        InputError: not UTF-8, not YAML, too large, a duplicate key, an anchor or a tag; with the line.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError("too large for a recipe", where=str(path), given=path.stat().st_size)
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a text file in UTF-8", where=str(path), advice="save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return read_text(text, file=str(path), is_json=path.suffix.lower() == ".json")


def read_text(text: str, *, file: str = "<recipe>", is_json: bool = False) -> Document:
    """Document in a text.

    Args:
        text: YAML or JSON.
        file: the name shown in messages.
        is_json: whether the text must be JSON.
    """
    if is_json:
        _check_json(text, file)
        text = text.replace("\t", " ")  # YAML allows no tab as indentation, and JSON no tab inside a string
    node = _compose(text, file)
    lines: dict[Words, int] = {}
    if node is None:
        return Document(None, file, lines)
    data = _construct(node, (), lines, file)
    return Document(json.loads(text) if is_json else data, file, lines)


def parse_value(text: str) -> Any:
    """The value that `text` has in a recipe: `1` is a number, `no` a string, `[1, 2]` a list."""
    try:
        return read_text(text).data
    except InputError as error:
        raise InputError(f"not a value: {error.what}", given=text, advice="quote it if it is a string") from error


def yaml_text(recipe: Recipe) -> str:
    """The recipe as YAML, which reads back to an equal recipe."""
    return yaml.dump(
        recipe.dump(), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )


def _check_json(text: str, file: str) -> None:
    try:
        json.loads(text)
    except RecursionError as error:
        raise too_deep(file) from error
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise InputError(
            f"not JSON: {error}", where=f"{file}:{line}", advice="correct the syntax at this line"
        ) from error


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(
            f"not YAML: {what}", where=f"{file}:{line}", advice="correct the syntax at this line"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", where=file) from error
    except RecursionError as error:
        raise too_deep(file) from error


class _Loader(yaml.SafeLoader):
    """The data types of JSON in YAML syntax: no anchors, no dates, no octal or base-60 numbers, no `yes` and `no`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None,
                None,
                f"a recipe has no anchors and aliases ({event.anchor!r}); write the value out",
                event.start_mark,
            )
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_NUMBER_START = list("-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), _NUMBER_START)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    _NUMBER_START,
)


class _Dumper(yaml.SafeDumper):
    """Writer that quotes every string which this reader or another YAML reader would parse as something else."""


for _first, _resolvers in _Loader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])

_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: _whole_number(text),
    "tag:yaml.org,2002:float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    "tag:yaml.org,2002:str": str,
}


def _whole_number(text: str) -> int:
    number = int(text) if len(text) < 30 else LARGEST
    if abs(number) >= LARGEST:
        raise ValueError("a whole number has at most 64 bits")
    return number


def _construct(node: yaml.Node, words: Words, lines: dict[Words, int], file: str) -> Any:
    lines.setdefault(words, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return {key: _construct(value, (*words, key), lines, file) for key, value in _entries(node, words, lines, file)}
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_construct(item, (*words, index), lines, file) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
        try:
            return _SCALARS[node.tag](node.value)
        except ValueError as error:
            raise InputError(
                f"not a value: {error}", where=f"{file}:{node.start_mark.line + 1}", given=node.value
            ) from error
    raise InputError(
        f"a recipe has no tags ({node.tag!r})", where=f"{file}:{node.start_mark.line + 1}", advice="leave the tag out"
    )


def _entries(
    node: yaml.MappingNode, words: Words, lines: dict[Words, int], file: str
) -> Iterator[tuple[Hashable, yaml.Node]]:
    """Keys and value nodes; a duplicate key is an error with both lines."""
    seen: dict[Any, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(
                "a key is a single word", where=f"{file}:{line}", advice="quote it, or correct the brackets"
            )
        key = key_node.value
        if key in seen:
            raise InputError(
                f"duplicate key {key!r}: here and in line {seen[key]}",
                where=f"{file}:{line}",
                advice="keep one of the two",
            )
        seen[key] = line
        lines[(*words, key)] = line
        yield key, value_node
