import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from compress.core.errors import ParityError
from finetune.processes import Processes
from recipes.cli.app import app
from recipes.record import BudgetLine, Report, Row, Size
from tests.recipes.front import config_only, recipe_file, write_rows
from tests.tiny import tiny_classifier_directory

PRUNE = {"prune": {"pattern": "neurons", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"}}
DISTILL = {"distill": {"student": {"layers": 2}}}
EXPORT = {"export": {"format": {"onnx": {"precision": "fp32"}}}}
DATA = "task.text_classification"


def trimformer(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    """The one message on stderr of a command that ends with exit code 2 and no traceback."""
    result = trimformer(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    return result.stderr


def a_report(**changes: Any) -> Report:
    rows = [Row(id="source", stage="source", baseline=True, size=Size(bytes=10, parameters=2))]
    return Report(name="tiny", recipe={}, rows=rows, **changes)


@pytest.fixture
def engine(monkeypatch):
    """Replaces the engine: what `run` is called with, and what it then gives or raises."""
    import recipes.engine.run

    calls: list[dict[str, Any]] = []

    def give(outcome: Any) -> list[dict[str, Any]]:
        def run(recipe, **settings):
            calls.append({"recipe": recipe, **settings})
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(recipes.engine.run, "run", run)
        return calls

    return give


def test_help_names_every_command():
    result = trimformer("--help")
    assert result.exit_code == 0
    names = ("run", "check", "measure", "compare", "report", "list", "show", "schema")
    assert [name for name in names if f"  {name} " not in result.stdout] == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from recipes.cli.app import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0;"
        "heavy = ('torch', 'transformers', 'numpy', 'datasets', 'recipes.file.recipe');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_imports_no_model_code_and_no_peft():
    code = (
        "import sys; from recipes.cli.app import app; from typer.testing import CliRunner; run = CliRunner().invoke;"
        "assert run(app, ['list']).exit_code == 0; assert run(app, ['show', 'prune']).exit_code == 0;"
        "assert run(app, ['schema']).exit_code == 0;"
        "print([name for name in sys.modules if name.startswith(('transformers.models.', 'peft', 'onnx', 'openvino'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (a_report(), 0),
        (a_report(failed={"prune": "the disk is full"}), 1),
        (a_report(budget=[BudgetLine(name="size", asked=5, measured=10, row="source", verdict="missed")]), 3),
        (a_report(budget=[BudgetLine(name="size", asked=20, measured=10, row="source", verdict="met")]), 0),
        (a_report(budget=[BudgetLine(name="speedup", asked=2, measured=None, row=None, verdict="not decidable")]), 0),
        (ParityError("the export answers otherwise"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_of_a_run_says_how_it_ended(tmp_path, engine, outcome, code):
    engine(outcome)
    result = trimformer("run", recipe_file(tmp_path, [PRUNE]), "--out", tmp_path / "out")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    if code == 130:
        assert "run the same command again to resume" in result.stderr


def test_run_hands_its_options_on(tmp_path, engine):
    calls = engine(a_report())
    file = recipe_file(tmp_path, [PRUNE])
    trimformer("run", file, "--set", "stages.0.prune.sparsity=0.25", "--fresh", "--device", "cpu")
    trimformer("run", file, "--out", tmp_path / "here")
    assert calls[0]["recipe"].stages[0].sparsity == 0.25
    assert (calls[0]["out"], calls[0]["fresh"], calls[0]["device"]) == (Path("runs/tiny"), True, "cpu")
    assert (calls[1]["out"], calls[1]["fresh"], calls[1]["device"]) == (tmp_path / "here", False, "auto")


def test_other_processes_of_a_launcher_print_nothing(tmp_path, engine, monkeypatch):
    engine(a_report(failed={"prune": "no"}))
    monkeypatch.setattr("finetune.processes.joined", lambda _: nullcontext(Processes(rank=1, count=2)))
    result = trimformer("run", recipe_file(tmp_path, [PRUNE]))
    assert (result.exit_code, result.output) == (0, "")


def test_a_bug_keeps_its_traceback(tmp_path, engine):
    engine(ZeroDivisionError())
    result = trimformer("run", recipe_file(tmp_path, [PRUNE]))
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_terminated_run_says_how_to_resume():
    code = (
        "import sys, time, types; from recipes.cli import app as cli\n"
        "def run(*_, **__): print('at work', flush=True); time.sleep(60)\n"
        "sys.modules['recipes.engine.run'] = types.SimpleNamespace(run=run)\n"
        "cli._load = lambda *_: types.SimpleNamespace(name='tiny')\n"
        "sys.argv = ['trimformer', 'run', 'tiny']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "run the same command again to resume" in said
    assert "Traceback" not in said


def test_check_prints_a_table_and_json_the_same_rows(tmp_path):
    file = recipe_file(tmp_path, [PRUNE, EXPORT])
    config_only(tmp_path / "model")
    table, data = trimformer("check", file), trimformer("check", file, "--json")
    assert (table.exit_code, data.exit_code) == (0, 0)
    rows = json.loads(data.stdout)["rows"]
    assert [row["id"] for row in rows] == ["source", "prune", "export"]
    assert all(row["id"] in table.stdout for row in rows)
    assert Report.model_validate(json.loads(data.stdout)).rows[1].size


STAGE_MISTAKES = [
    ([{"prune": {"pattern": "neurons", "sparsty": 0.5}}], ["recipe.yaml:", "sparsty", "did you mean 'sparsity'?"]),
    (["prun"], ["recipe.yaml:", "stages.0", "unknown stage 'prun'", "did you mean 'prune'?"]),
    ([{"prune": {"pattern": "neurons", "sparsity": "half"}}], ["stages.0.prune.sparsity", "given: 'half'"]),
    ([{"prune": {"pattern": "neurons", "sparsity": 1}}], ["stages.0.prune.sparsity", "less than 1"]),
    ([DISTILL, {"distill": {"teacher": "finetune"}}], ["stages.1.distill.teacher", "unknown stage id 'finetune'"]),
    ([{"prune": {**PRUNE["prune"], "start": "distill"}}], ["stages.0.prune.start", "unknown stage id 'distill'"]),
    ([{"distill": {"student": {"layers": 40}}}], ["stages.0.distill", "40"]),
]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("stages", "says"), STAGE_MISTAKES)
def test_a_mistake_in_the_stages_is_one_message(tmp_path, command, stages, says):
    message = refused(command, recipe_file(tmp_path, stages))
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("stage", [DISTILL, EXPORT, {"prune": {"pattern": "heads", "sparsity": 0.5}}])
def test_a_stage_order_that_cannot_work_is_one_message(tmp_path, command, stage):
    message = refused(command, recipe_file(tmp_path, [stage], trained=False))
    assert "recipe.yaml:" in message
    assert "train" in message


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_family_that_cannot_is_one_message(tmp_path, command):
    message = refused(command, recipe_file(tmp_path, [DISTILL], family="albert"))
    assert "albert" in message
    assert "stages.0.distill" in message


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_extra_is_one_message_with_the_pip_command(tmp_path, command, monkeypatch):
    monkeypatch.setattr("recipes.plan.tree.installed", lambda package: False)
    assert 'pip install "trimformer[onnx]"' in refused(command, recipe_file(tmp_path, [EXPORT]))


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("text", "says"), [("name: [", "not YAML"), ("name: a\nname: b\n", "duplicate key"), ("", "mapping")]
)
def test_a_file_that_is_no_recipe_is_one_message(tmp_path, command, text, says):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    message = refused(command, file)
    assert says in message
    assert str(file) in message


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("stages.0.prun.sparsity=1", "did you mean 'prune'?"),
        ("stages.3.prune.sparsity=1", "unknown index '3'"),
        ("stages.0.prune.sparsty=1", "did you mean 'sparsity'?"),
        ("stages.0.prune.sparsity=3", "less than 1"),
        (f"{DATA}.text=txt", "txt"),
        (f"{DATA}.label=lable", "lable"),
        (f"{DATA}.train=trian", "trian"),
        (f"{DATA}.evaluation=trail", "trail"),
        (f"{DATA}.data=./nowhere", "nowhere"),
        ("model=./nowhere", "nowhere"),
    ],
)
def test_a_setting_that_names_nothing_is_one_message(tmp_path, command, option, says):
    assert says in refused(command, recipe_file(tmp_path, [PRUNE]), "--set", option)


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("train.jsonl", [("a", 1), ("b", 1)], "one label"),
        ("train.jsonl", [], "train"),
        ("validation.jsonl", [], "validation"),
        ("validation.jsonl", [("a", 7)], "labels outside the set"),
        ("train.jsonl", None, "train"),
    ],
)
def test_data_that_cannot_work_is_one_message(tmp_path, command, name, rows, says):
    file = recipe_file(tmp_path, [PRUNE])
    path = tmp_path / "data" / name
    if rows is None:
        path.unlink()
    else:
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    assert says in refused(command, file)


def test_a_model_without_weights_cannot_run(tmp_path):
    file = recipe_file(tmp_path, [PRUNE])
    config_only(tmp_path / "model")
    message = refused("run", file, "--out", tmp_path / "out")
    assert "no weights" in message
    assert "model" in message
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_tokenizer_cannot_run(tmp_path):
    file = recipe_file(tmp_path, [PRUNE])
    for path in (tmp_path / "model").glob("*token*"):
        path.unlink()
    assert "no tokenizer" in refused("run", file, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pickled_weights_are_refused_with_the_way_to_convert(tmp_path):
    file = recipe_file(tmp_path, [PRUNE])
    config_only(tmp_path / "model")
    torch.save({}, tmp_path / "model" / "pytorch_model.bin")
    message = refused("run", file, "--out", tmp_path / "out")
    assert "pickle" in message
    assert "save_pretrained" in message


def test_an_output_directory_of_another_recipe_is_refused(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "recipe.yaml").write_text("name: other\n")
    message = refused("run", recipe_file(tmp_path, [PRUNE]), "--out", out)
    assert "'other'" in message
    assert "--out" in message


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_recipe_that_is_not_there_names_the_near_one(command):
    assert "did you mean 'quickstart'?" in refused(command, "quikstart")


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_directory_that_holds_no_run_is_one_message(tmp_path, command):
    assert str(tmp_path) in refused(command, tmp_path)


def test_a_report_that_is_none_is_one_message(tmp_path):
    (tmp_path / "report.json").write_text('{"rows": 3}')
    assert "not a report of this version" in refused("report", tmp_path)


def test_report_draws_the_views_again(tmp_path):
    a_report().write(tmp_path)
    result = trimformer("report", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "report.md").is_file()
    assert "tiny" in result.stdout


def test_compare_puts_two_runs_side_by_side(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        a_report().write(tmp_path / name)
    result = trimformer("compare", tmp_path / "one", tmp_path / "two")
    assert result.exit_code == 0, result.output
    assert "one" in result.stdout
    assert "two" in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--task", "nothing"], "unknown recipe"),
        (["--lengths", "data"], "data"),
    ],
)
def test_measure_refuses_what_it_cannot_measure(tmp_path, options, says):
    tiny_classifier_directory(tmp_path / "model")
    assert says in refused("measure", tmp_path / "model", *options)


@pytest.mark.parametrize(
    "option", [["--batch-sizes", "0"], ["--batch-sizes", "a"], ["--lengths", "long"], ["--threads", "0"]]
)
def test_measure_refuses_numbers_that_are_none(tmp_path, option):
    result = trimformer("measure", tmp_path, *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


def test_measure_hands_its_options_on(tmp_path, monkeypatch):
    import recipes.measure.directory

    calls = []

    def measure_directory(directory, **settings):
        calls.append({"directory": directory, **settings})
        return Row(id="model", stage="measure", size=Size(bytes=10, parameters=2))

    monkeypatch.setattr(recipes.measure.directory, "measure_directory", measure_directory)
    options = ["--batch-sizes", "2,4", "--lengths", "16,data", "--threads", "1", "--json"]
    file = recipe_file(tmp_path, [PRUNE])
    result = trimformer("measure", tmp_path, "--task", file, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["size"]["bytes"] == 10
    assert calls[0]["recipe"].name == "tiny"
    assert (calls[0]["batch_sizes"], calls[0]["lengths"], calls[0]["threads"]) == ([2, 4], [16, "data"], 1)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("stages", ["finetune", "distill", "prune", "export"]),
        ("criteria", ["random", "magnitude", "taylor"]),
        ("losses", ["labels", "soft_targets", "hidden_states"]),
        ("formats", ["onnx", "openvino"]),
        ("patterns", ["heads", "neurons"]),
        ("families", ["bert", "modernbert", "vit"]),
        ("recipes", ["quickstart", "bert/sst2-production", "export/int8"]),
    ],
)
def test_list_names_what_there_is(kind, names):
    result = trimformer("list", kind)
    assert result.exit_code == 0, result.output
    assert [name for name in names if name not in result.stdout] == []


def test_every_name_that_is_listed_can_be_shown():
    from recipes.file.catalogue import entries, kinds

    names = {entry.name for kind in kinds() for entry in entries(kind)}
    failed = [name for name in sorted(names) if trimformer("show", name).exit_code != 0]
    assert len(names) > 30
    assert failed == []


def test_show_has_the_settings_with_their_defaults_and_an_example():
    text = " ".join(trimformer("show", "prune").stdout.split())
    assert "sparsity (needed)" in text
    assert "criterion taylor" in text
    assert "- prune: {" in text


def test_show_explains_the_training_plan_and_the_settings_under_a_key():
    text = " ".join(trimformer("show", "train").stdout.split())
    assert "learning_rate 5e-05 number; peak of the schedule" in text and "arguments {} mapping" in text
    assert "train: {epochs: 3.0, learning_rate: 5.0e-05" in text
    assert "metric_drop - number; largest loss" in " ".join(trimformer("show", "budget").stdout.split())
    assert "unknown name 'trian'" in refused("show", "trian") and "did you mean 'train'?" in refused("show", "trian")


@pytest.mark.parametrize(("name", "rate"), [("lora", "0.0005"), ("full", "5.0e-05"), ("distill", "0.0001")])
def test_show_names_the_training_plan_of_its_own(name, rate):
    text = " ".join(trimformer("show", name).stdout.split())
    assert f"learning_rate: {rate}, batch_size: 32" in text and "(trimformer show train)" in text
    assert "training plan, where" not in trimformer("show", "prune").stdout


def test_every_setting_of_the_training_plan_is_described():
    from compress.core.fit.plan import TrainPlan

    assert [name for name, field in TrainPlan.model_fields.items() if not field.description] == []


def test_the_version_is_told():
    from importlib.metadata import version

    assert trimformer("--version").stdout.startswith(f"trimformer {version('trimformer')} (torch ")


def test_every_example_that_is_shown_can_be_read():
    from recipes.cli.show import example
    from recipes.file.catalogue import sets

    wrong = []
    for kind, found in sets().items():
        for name, member in found.members().items():
            if found.parse(example(member)).name != name:
                wrong.append((kind, name))
    assert wrong == []


@pytest.mark.parametrize(
    ("arguments", "says"), [(["list", "stage"], "did you mean 'stages'?"), (["show", "prun"], "did you mean 'prune'?")]
)
def test_a_name_that_is_not_listed_is_one_message(arguments, says):
    assert says in refused(*arguments)


def test_a_book_recipe_is_shown_as_it_is():
    from recipes.file.yaml import book

    assert trimformer("show", "quickstart").stdout.strip() == book()["quickstart"].read_text("utf-8").strip()


def test_the_schema_is_json():
    schema = json.loads(trimformer("schema").stdout)
    assert schema["title"] == "Recipe"
    assert {"name", "model", "task"} <= set(schema["required"])


def test_the_module_is_the_command(tmp_path):
    write_rows(tmp_path)
    done = subprocess.run([sys.executable, "-m", "recipes", "check", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown recipe")
