"""What the README shows is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from recipes.file.recipe import Recipe
from recipes.file.yaml import read_text

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
BASE = {"name": "shown", "model": "some/model", "task": {"text_classification": {"data": "reviews"}}}
DISTILL = {"student": {"layers": 3}}
PRUNE = {"pattern": "neurons", "sparsity": 0.5}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def lines_of_methods() -> list[str]:
    section = README.split("## The methods")[1].split("\n## ")[0]
    return re.findall(r"\| `([^`]+)` \|$", section, flags=re.MULTILINE)


def stage_with(line: str) -> dict:
    """The stage that a line of the table is, or is a part of."""
    data = read_text(line).data
    key = next(iter(data))
    if key == "losses":
        return {"distill": {**DISTILL, **data}}
    return {"prune": {**PRUNE, **data}} if key in {"criterion", "allocation", "recover"} else data


def test_the_recipe_reads():
    (text,) = blocks("yaml")
    recipe = Recipe.parse(read_text(text).data)
    assert [stage.name for stage in recipe.stages] == ["finetune", "distill", "prune", "export", "export", "prune"]


def test_there_are_lines_of_methods():
    assert len(lines_of_methods()) >= 12


@pytest.mark.parametrize("line", lines_of_methods())
def test_every_line_of_a_method_reads(line, tmp_path, monkeypatch):
    (tmp_path / "texts.txt").write_text("a text on a line\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.parse({**BASE, "stages": [stage_with(line)]})
    assert len(recipe.stages) == 1


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


def test_the_python_parses_and_its_imports_exist():
    for block in blocks("python"):
        tree = ast.parse(block)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names: dict = {}
        exec(compile(ast.Module(imports, []), "README.md", "exec"), names)
        assert {alias.name for node in imports for alias in node.names} <= set(names)


def test_the_criterion_of_the_readme_scores_every_neuron():
    import torch

    from compress.prune.criterion import Criterion
    from compress.prune.units.neurons import Neurons
    from tests.tiny import tiny_bundle

    source = next(block for block in blocks("python") if "class Newest" in block)
    body = source[source.index("    def score") :]
    names: dict = {"torch": torch}
    exec(re.sub(r"^    ", "", body, flags=re.MULTILINE), names)
    bundle = tiny_bundle("bert")
    scores = names["score"](None, bundle, Neurons(), None)
    assert [len(score) for score in scores] == [48, 48, 48, 48]
    assert "score" in vars(Criterion)
