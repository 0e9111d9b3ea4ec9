"""Output of `trimformer list` and `trimformer show`."""

from __future__ import annotations

import dataclasses
import inspect
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from compress.core.choice import Choice, snake_case
from compress.core.values import Settings
from recipes.cli.prose import WIDEST, reflowed
from recipes.file.catalogue import FAMILIES, RECIPES, Entry, entries
from recipes.file.locate import keys

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["example", "list_kind", "show_entry", "type_text"]

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def list_kind(kind: str, console: Console) -> None:
    """Print one kind as a table: name, first line of its docstring.

    Args:
        kind: a set, `families` or `recipes`.
        console: it is printed on.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "what it is", title=kind, title_justify="left", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for entry in entries(kind):
        table.add_row(*(escape(text) for text in (entry.name, entry.summary)))
    console.print(table)
    console.print()


def show_entry(entry: Entry, console: Console) -> None:
    """Print one entry: its docstring, its settings, a line of a recipe; a recipe of the book as it is.

    Args:
        entry: of the catalogue.
        console: it is printed on.
    """
    if entry.kind == RECIPES:
        console.print(entry.what.read_text("utf-8"), markup=False, soft_wrap=True)
    elif entry.kind == FAMILIES:
        console.print(f"{entry.name} (families, {entry.home})\n", markup=False, style="bold")
        console.print(entry.summary, markup=False)
        _table({f.name: (getattr(entry.what, f.name), "") for f in dataclasses.fields(entry.what)}, console)
    else:
        _show_member(entry, console)


def example(member: type[Choice]) -> Any:
    """The shortest form of `member` in a recipe, with a value for each setting that has no default."""
    fields = {name: member.model_fields[name] for name in (*member.required(), *member.shown)}
    needed = {name: field.examples[0] if field.examples else _value(field.annotation) for name, field in fields.items()}
    return {member.name: needed} if needed else member.name


def type_text(annotation: Any) -> str:
    """A type in words: `number`, `a loss, or a list of losses`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_text(part) for part in arguments if part is not NoneType))
    if origin is tuple:
        return f"list of {type_text(arguments[0])}" if arguments[-1] is ... else "list"
    if isinstance(annotation, type) and issubclass(annotation, Choice) and annotation.is_set():
        return f"a {snake_case(annotation.__name__).replace('_', ' ')}: {' | '.join(annotation.members())}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"mapping: {', '.join(keys(annotation))}"
    return _PLAIN.get(annotation, "mapping" if annotation in (dict, Any) else str(annotation))


def _show_member(entry: Entry, console: Console) -> None:
    import yaml

    console.print(f"{entry.name} ({entry.kind}, {entry.home})\n", markup=False, style="bold")
    text = reflowed(inspect.getdoc(entry.what) or "", min(console.width, WIDEST))
    console.print(f"{text}\n", markup=False, soft_wrap=True)
    fields = keys(entry.what)
    if fields:
        _table({name: (_default(field), _words(field)) for name, field in fields.items()}, console)
    line = yaml.safe_dump(example(entry.what), default_flow_style=True, sort_keys=False, width=10**6)
    console.print("in a recipe", style="bold")
    console.print(f"  {_indentation(entry.kind)}{_unwrapped(line)}", markup=False, soft_wrap=True)
    console.print()


def _unwrapped(line: str) -> str:
    text = line.removesuffix("\n").removesuffix("\n...")
    return text[1:-1] if text.startswith("{") else text


def _indentation(kind: str) -> str:
    return "- " if kind in ("stages", "losses", "probes") else ""


def _table(settings: dict[str, tuple[Any, str]], console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("setting", "default", "what it is", box=None, pad_edge=False, padding=(1, 2, 0, 0))
    table.columns[0].no_wrap = True
    for name, (default, words) in settings.items():
        table.add_row(name, escape(str(default)), escape(words))
    console.print(table)
    console.print()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True)
    return str(_plain(value)) if value is not None else "-"


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.recipe_form()
    if isinstance(value, Settings):
        return value.dump() or "{}"
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _words(field: FieldInfo) -> str:
    kind = type_text(field.annotation)
    return f"{kind}; {field.description}" if field.description else kind


def _value(annotation: Any) -> Any:
    """Some value of a type, for an example."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType, Annotated):
        return _value(next(part for part in arguments if part is not NoneType))
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return [_value(arguments[0])]
    if isinstance(annotation, type) and issubclass(annotation, Choice) and annotation.is_set():
        return example(next(iter(annotation.members().values())))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: _value(f.annotation) for name, f in annotation.model_fields.items() if f.is_required()}
    return {int: 1, float: 0.5, bool: True}.get(annotation, "...")
