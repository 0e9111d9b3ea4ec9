"""What the README and the pages behind it show is what the code does."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from recipes.file.recipe import Recipe
from recipes.file.yaml import book, read_text

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
FILES = (ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *sorted(ROOT.glob(".docs/**/*.md")))
PAGES = {file.relative_to(ROOT).as_posix(): file for file in FILES}
MOST_BYTES = 11_000


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Every `trimformer` command of the shell blocks, as words."""
    lines = [line for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]
    parts = [part for line in lines for part in line.split("&&")]
    return [shlex.split(part)[1:] for part in parts if part.strip().startswith("trimformer ")]


def test_a_stranger_reads_it_in_one_go():
    assert len(README.encode()) < MOST_BYTES


def test_the_recipe_reads():
    (text,) = blocks("yaml")
    recipe = Recipe.parse(read_text(text).data)
    assert [stage.name for stage in recipe.stages] == ["finetune", "distill", "prune", "export", "export", "prune"]


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository_lead_somewhere(page):
    file = PAGES[page]
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text("utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_a_recipe_and_settings_that_there_are(page):
    for words in commands(PAGES[page].read_text("utf-8")):
        if words[0] in ("run", "check", "scan") and words[1] in book():
            given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            assert Recipe.load(words[1], [setting for setting in given if not setting.startswith("model=")]).stages


def test_the_settings_for_own_data_are_settings():
    block = next(block for block in blocks("bash") if "--out runs/mine" in block)
    given = re.findall(r"--set (\S+)", block)
    recipe = Recipe.load("bert/sst2-production", given)
    assert recipe.task.text == ("body",) and recipe.task.label == "stars" and recipe.task.config is None


def test_the_commands_are_those_of_the_command_line():
    from typer.main import get_command

    from recipes.cli.app import app

    (text,) = [block for block in blocks("text") if "trimformer check" in block]
    assert set(re.findall(r"^trimformer (\w+)", text, flags=re.MULTILINE)) == set(get_command(app).commands)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_parses_and_its_imports_exist(page):
    for block in blocks("python", PAGES[page].read_text("utf-8")):
        tree = ast.parse(block)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names: dict = {}
        exec(compile(ast.Module(imports, []), page, "exec"), names)
        assert {alias.name for node in imports for alias in node.names} <= set(names)


def test_a_run_is_a_call_from_python_too():
    import recipes

    assert callable(recipes.run) and recipes.Recipe is Recipe


def test_the_criterion_of_the_contributing_page_scores_every_neuron():
    from compress.prune.units.neurons import Neurons
    from tests.tiny import tiny_bundle

    (source,) = blocks("python", PAGES[".github/CONTRIBUTING.md"].read_text("utf-8"))
    names: dict = {}
    exec(source.replace("(UnitCriterion)", "").replace("class Newest", "class _Newest"), names)
    scores = names["_Newest"]().score(tiny_bundle("bert"), Neurons(), None)
    assert [len(score) for score in scores] == [48, 48, 48, 48]


def test_the_rooms_of_the_contributing_page_are_there():
    section = PAGES[".github/CONTRIBUTING.md"].read_text("utf-8").split("## Where things are")[1].split("\n## ")[0]
    rooms = re.findall(r"`((?:compress|finetune|recipes)/[a-z_/]+)`", section)
    assert len(rooms) > 10
    assert [room for room in rooms if not (ROOT / room).is_dir()] == []
