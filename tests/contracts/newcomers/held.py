"""What holds for the newcomers, in a process that has them: the listing, the schema, `check`, and a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from recipes.cli.app import app
from recipes.file.catalogue import kinds, sets
from recipes.file.recipe import Recipe
from tests.contracts.newcomers import HERE
from tests.tiny import FAMILIES, tiny_classifier_directory

NAMES = ("newcomer", "late_newcomer")
TRAIN = {"max_steps": 4, "batch_size": 8}
LATE = {"start": "finetune", "recover": "none"}
STAGES: list[Any] = [
    {"finetune": {"during": "newcomer", "train": TRAIN}},
    {"finetune": {"id": "method", "start": "source", "method": "newcomer", "train": TRAIN}},
    {"distill": {"start": "finetune", "student": {"layers": 2}, "losses": ["newcomer"], "train": TRAIN}},
    {"prune": {"id": "units", "pattern": "newcomer", "criterion": "newcomer", "sparsity": 0.5, **LATE}},
    {"prune": {"id": "weights", "pattern": "late_newcomer", "criterion": "newcomer", "sparsity": 0.5, **LATE}},
    {
        "finetune": {
            "id": "gradual",
            "start": "finetune",
            "during": {"gradual": {"to": 0.5, "criterion": "newcomer", "schedule": "newcomer"}},
            "train": TRAIN,
        }
    },
    {"factorize": {"what": "linears", "rank": {"newcomer": {"of_side": 0.25}}, "by": "newcomer", **LATE}},
    {"share": {"by": "newcomer", **LATE}},
    {
        "find_ticket": {
            "start": "source",
            "rounds": 1,
            "seeds": [0],
            "rewind": "newcomer",
            "controls": ["newcomer"],
            "train": TRAIN,
        }
    },
    {"newcomer": {"start": "finetune"}},
    {"export": {"format": "newcomer", "agreement": 0.9}},
]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomers")
    model = tiny_classifier_directory(folder / "model", "ernie")
    task = {"newcomer": {"data": "newcomer", "evaluation": "test", "max_length": 32}}
    data = {"name": "newcomers", "model": str(model), "task": task, "stages": STAGES, "measure": ["newcomer"]}
    file = folder / "recipe.json"
    file.write_text(json.dumps(data))
    return file


def trimformer(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_there_is_one_for_every_home_of_every_set():
    homes = {home for found in sets().values() for home in found.homes()}
    missing = sorted(homes - {folder.name for folder in HERE.iterdir()})
    assert missing == [], f"add a member below {HERE}/<home>, and put it into STAGES of {__file__}"
    assert [kind for kind, found in sets().items() if not set(NAMES) & set(found.members())] == []


def test_they_are_listed_and_shown():
    for kind in set(kinds()) - {"recipes", "families"}:
        assert "newcomer" in trimformer("list", kind), kind
    assert "ernie" in trimformer("list", "families") and "BERT" not in trimformer("show", "ernie")
    shown = trimformer("show", "newcomer")
    assert [kind for kind in sets() if f"({kind}, " not in shown and kind not in ("patterns",)] == []


def test_they_are_in_the_schema_and_are_tried_on_a_family_of_their_own():
    schema = json.loads(trimformer("schema"))
    Recipe.model_json_schema()
    assert json.dumps(schema).count('"newcomer"') >= len(sets())
    assert "ernie" in FAMILIES


def test_a_recipe_of_them_is_checked(recipe):
    report = json.loads(trimformer("check", str(recipe), "--json"))
    assert len(report["rows"]) == len(STAGES) + 1


def test_a_recipe_of_them_runs(recipe, tmp_path):
    from recipes.engine.run import run

    report = run(Recipe.load(recipe), out=tmp_path / "run", device="cpu")
    assert not report.failed
    assert len(report.rows) == len(STAGES) + 1
    assert all(row.speed for row in report.rows)
