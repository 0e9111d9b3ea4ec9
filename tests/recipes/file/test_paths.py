"""Relative paths lie beside the recipe's file, wherever a setting's type says that it names a file."""

from pathlib import Path
from typing import Any

import pytest

from compress.core.errors import InputError
from recipes.file.locate import field_type
from recipes.file.paths import near_the_file
from recipes.file.recipe import Recipe
from recipes.file.yaml import Document


def read(stages: Any, folder: Path) -> Any:
    file = folder / "recipe.yaml"
    stage = Recipe.model_fields["stages"]
    return near_the_file(Document({"stages": stages}, str(file)), file, stages=field_type(stage)).data["stages"]


@pytest.mark.parametrize(
    "form",
    [
        lambda file: {"apply_ticket": {"ticket": file}},
        lambda file: {"trim_vocabulary": {"corpus": file, "recover": {"by": "mlm", "corpus": file, "head": file}}},
        lambda file: {"share": {"groups": 1, "recover": {"by": "mlm", "corpus": file}}},
    ],
)
def test_settings_that_name_files_are_found_by_their_type(form, tmp_path):
    (tmp_path / "beside.txt").write_text("a text\n", "utf-8")
    assert read([form("beside.txt")], tmp_path) == [form(str(tmp_path / "beside.txt"))]


@pytest.mark.parametrize(
    "stages",
    [[{"trim_vocabulary": {"corpus": "task"}}], [{"no_such_stage": {"ticket": "x.safetensors"}}], ["share"], 3],
)
def test_other_words_stay_for_the_recipe_to_judge(stages, tmp_path):
    (tmp_path / "x.safetensors").touch()
    assert read(stages, tmp_path) == stages


def test_a_file_that_is_nowhere_is_a_mistake_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"apply_ticket\.ticket: no such file"):
        read([{"apply_ticket": {"ticket": "gone.safetensors"}}], tmp_path)
