"""Output of `trimformer list` and `trimformer show`."""

from __future__ import annotations

import dataclasses
import inspect
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

from compress.core.choice import Choice, snake_case
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.values import Settings
from recipes.cli.prose import WIDEST, reflowed
from recipes.file.catalogue import FAMILIES, RECIPES, Entry, entries
from recipes.file.locate import keys

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["example", "list_kind", "show_entry", "type_text"]

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", ByteSize: "size"}
PAIRS = tuple[tuple[str, Any], ...]
"""How settings hold a mapping, to be hashable."""
FEW = 6
"""Keys that the type of a setting lists."""


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
    if annotation == PAIRS:
        return "mapping"
    if origin is tuple:
        return f"list of {type_text(arguments[0])}" if arguments[-1] is ... else "list"
    if isinstance(annotation, type) and issubclass(annotation, Choice) and annotation.is_set():
        return f"a {snake_case(annotation.__name__).replace('_', ' ')}: {' | '.join(annotation.members())}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"mapping: {', '.join(keys(annotation))}"
    return _PLAIN.get(annotation, "mapping" if annotation in (dict, Any) else str(annotation))


def _show_member(entry: Entry, console: Console) -> None:
    console.print(f"{entry.name} ({entry.kind}, {entry.home})\n", markup=False, style="bold")
    text = reflowed(inspect.getdoc(entry.what) or "", min(console.width, WIDEST))
    console.print(f"{text}\n", markup=False, soft_wrap=True)
    fields = keys(entry.what)
    if fields:
        usual = entry.what.usual()
        defaults = {
            name: _default(field, None if usual is None else getattr(usual, name)) for name, field in fields.items()
        }
        _table({name: (defaults[name], _words(name, field)) for name, field in fields.items()}, console)
    if plan := _training_plan(entry.what):
        console.print(
            "training plan, where `train` leaves a setting out (trimformer show train)", style="bold", markup=False
        )
        console.print(f"  {_one_line(plan)}\n", markup=False)
    line = example(entry.what) if issubclass(entry.what, Choice) else _example_of(entry)
    if line:
        console.print("in a recipe", style="bold")
        console.print(f"  {_indentation(entry.kind)}{_one_line(line)}", markup=False, soft_wrap=True)
        console.print()


def _training_plan(member: type[BaseModel]) -> dict[str, Any] | None:
    """The complete plan of a stage, a method or a recovery that trains, with its other settings at their defaults."""
    plan = getattr(member, "plan", None)
    if plan is None or inspect.signature(plan).return_annotation != TrainPlan.__name__:
        return None
    form = example(member) if issubclass(member, Choice) else None
    given = next(iter(form.values())) if isinstance(form, dict) else {}
    found: TrainPlan = plan(member.model_validate(given))
    return {name: value for name, value in found.over(DEFAULT_PLAN) if value not in (None, ())}


def _example_of(entry: Entry) -> dict[str, Any] | None:
    """The key of settings with what they need, or with their first usual values."""
    fields = keys(entry.what)
    needed = {name: _value(field.annotation) for name, field in fields.items() if field.is_required()}
    usual = entry.what.usual()
    shown = needed or ({} if usual is None else dict(list(usual.dump().items())[:3]))
    return {entry.name: shown} if shown else None


def _one_line(data: Any) -> str:
    import yaml

    return _unwrapped(yaml.safe_dump(data, default_flow_style=True, sort_keys=False, width=10**6))


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


def _default(field: FieldInfo, usual: Any) -> str:
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True) if usual is None else usual
    return str({} if value == () and field.annotation == PAIRS else _plain(value)) if value is not None else "-"


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.recipe_form()
    if isinstance(value, Settings):
        return value.dump() or "{}"
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _words(name: str, field: FieldInfo) -> str:
    inner = field.annotation
    if isinstance(inner, type) and issubclass(inner, BaseModel) and not issubclass(inner, Choice):
        kind = type_text(inner) if len(keys(inner)) <= FEW else f"mapping (trimformer show {name})"
    else:
        kind = type_text(inner)
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
