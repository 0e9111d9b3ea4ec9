"""Every member of every set: its recipe form reads back, its docstring and fields say what it is, it is listed."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import yaml

from recipes.file.catalogue import entries, sets
from recipes.file.locate import keys
from recipes.file.yaml import read_text
from tests.contracts.members import MEMBERS, made, member

LINE = 120
SETS = frozenset(sets().values())
every_member = pytest.mark.parametrize(("kind", "name"), MEMBERS, ids=lambda value: value)
SOURCE = re.compile(r"\b(1[89]|20)\d\d\b|\d{4}\.\d{5}")
"""A year, or an arXiv number."""


@every_member
def test_the_recipe_form_reads_back(kind, name):
    value, found = made(kind, name), sets()[kind]
    form = value.recipe_form()
    assert found.parse(form) == value
    assert found.parse(read_text(yaml.safe_dump(form)).data) == value
    assert hash(found.parse(form)) == hash(value)


@every_member
def test_the_docstring_says_what_it_is(kind, name):
    text = inspect.cleandoc(member(kind, name).__dict__.get("__doc__") or "")
    assert text, f"{name} has no docstring of its own"
    first = text.split("\n", 1)[0]
    assert first.strip() and len(first) <= LINE and not first.endswith(":")
    if kind == "methods":
        assert SOURCE.search(text), f"{name}: a method names the paper that it is from"
    if "References:" in text:
        assert SOURCE.search(text.split("References:", 1)[1]), f"{name}: a reference has its year"


@every_member
def test_every_setting_is_described(kind, name):
    silent = [key for key, field in keys(member(kind, name)).items() if not field.description]
    assert silent == [], "give each `Field(..., description=...)`, with its unit"


@every_member
def test_no_new_member_of_another_set_changes_its_example(kind, name):
    found = member(kind, name)
    fields = {key: found.model_fields[key] for key in (*found.required(), *found.shown)}
    open_ended = [key for key, field in fields.items() if field.annotation in SETS and not field.examples]
    assert open_ended == [], "say which one its example has: `Field(..., examples=[...])`"


@every_member
def test_it_is_listed(kind, name):
    found = {entry.name: entry for entry in entries(kind)}[name]
    assert found.summary and found.what is member(kind, name)
    assert found.home == member(kind, name).__module__


@every_member
def test_it_stands_in_a_file_below_a_home_of_its_set(kind, name):
    module = member(kind, name).__module__
    homes = sets()[kind].homes()
    assert not homes or any(module.startswith(f"{home}.") for home in homes)


@pytest.mark.parametrize(("kind", "name"), [pair for pair in MEMBERS if pair[0] != "stages"])
def test_it_imports_no_other_member_of_its_set(kind, name):
    found = sets()[kind].members()
    own = found[name]
    others = {other.__module__ for other in found.values() if other not in own.__mro__ and other is not own}
    file = Path(inspect.getfile(own))
    imported = {
        node.module for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    }
    assert imported & (others - {own.__module__}) == set()
