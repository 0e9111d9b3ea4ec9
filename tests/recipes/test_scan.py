"""The command `scan`: what it measures, that it goes on where it was, what it refuses."""

import json

import pytest
import torch

from compress.core.context import Context
from compress.prune.gates import masked
from compress.prune.patterns.heads import Heads
from compress.prune.patterns.layers import Layers
from compress.prune.scan import probes, value_at
from tests.compress.distill.stub import stub_context, trained
from tests.recipes.front import recipe_file
from tests.recipes.test_cli import refused, trimformer


def scores_of(bundle, pattern):
    from compress.prune.criteria.magnitude import Magnitude

    return Magnitude().score(bundle, pattern, stub_context())


def test_each_layer_alone_and_all_at_once():
    bundle = trained("bert")
    found = list(probes(Heads(), bundle.sketch(), scores_of(bundle, Heads()), (0.25, 0.5)))
    assert [probe.where for probe in found] == [f"layer {n // 2}" for n in range(8)] + ["all"] * 2
    assert [sum(map(len, probe.kept)) for probe in found] == [15, 14] * 4 + [12, 8]


def test_kinds_of_blocks_where_there_are_several():
    bundle = trained("t5")
    found = [p.where for p in probes(Heads(), bundle.sketch(), scores_of(bundle, Heads()), (0.5,))]
    assert found[4:6] == ["decoder 0", "decoder 1"]
    assert found[-4:] == ["encoder", "decoder", "cross-attention", "all"]


def test_layers_go_one_by_one_but_the_first_that_must_stay():
    bundle = trained("modernbert")
    found = list(probes(Layers(), bundle.sketch(), scores_of(bundle, Layers()), (0.5,)))
    assert [probe.where for probe in found] == ["layer 1", "layer 2", "layer 3", "all"]


def test_the_first_layer_stays_where_it_must_though_it_is_worth_least():
    bundle = trained("modernbert")
    found = list(probes(Layers(), bundle.sketch(), [torch.tensor([0.0, 3.0, 2.0, 1.0])], (0.5,)))
    assert found[-1].kept == ((0, 1),)


def test_a_value_is_that_of_the_masked_model():
    bundle = trained("bert")
    probe = list(probes(Heads(), bundle.sketch(), scores_of(bundle, Heads()), (0.5,)))[-1]

    def evaluate(of):
        return of.model(**of.processor("a good film", return_tensors="pt")).logits.detach().sum().item()

    with masked(bundle, Heads(), probe.kept):
        expected = evaluate(bundle)
    assert value_at(bundle, Heads(), probe, evaluate) == expected != evaluate(bundle)
    assert isinstance(stub_context(), Context)


def test_the_command_writes_a_scan_and_goes_on_where_it_was(tmp_path):
    recipe = recipe_file(tmp_path, [])
    asked = ["scan", recipe, "--out", tmp_path / "out", "--criterion", "magnitude", "--sparsities", "0.5"]
    first = trimformer(*asked, "--pattern", "heads")
    assert first.exit_code == 0, first.output
    found = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert [point["where"] for point in found["points"]] == ["layer 0", "layer 1", "layer 2", "layer 3", "all"]
    assert "| all |" in first.stdout and "50 % masked" in first.stdout
    page = (tmp_path / "out" / "scan.html").read_text()
    assert "<svg" in page and "http" not in page.replace("http-equiv", "") and (tmp_path / "out" / "scan.md").is_file()
    # A value that only the file can have shows that nothing known is measured again.
    found["points"][0]["value"] = 0.123
    (tmp_path / "out" / "scan.json").write_text(json.dumps(found))
    again = trimformer(*asked)
    assert again.exit_code == 0, again.output
    after = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert after["points"][0]["value"] == 0.123
    assert {point["pattern"] for point in after["points"]} == {"heads", "neurons", "layers", "width"}
    trimformer(*asked, "--fresh", "--pattern", "heads")
    assert json.loads((tmp_path / "out" / "scan.json").read_text())["points"][0]["value"] != 0.123


def test_what_does_not_fit_is_left_out_and_said(tmp_path):
    asked = ["--out", tmp_path / "out", "--criterion", "magnitude", "--sparsities", "0.5,0.9"]
    result = trimformer("scan", recipe_file(tmp_path, []), *asked)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "scan.json").read_text())
    shares = {name: {p["sparsity"] for p in found["points"] if p["pattern"] == name} for name in ("heads", "neurons")}
    assert shares == {"heads": {0.5}, "neurons": {0.5, 0.9}}
    line = "heads at 90 %: sparsity 0.9 leaves none of the 4 heads of a layer"
    assert line in result.stdout and line in (tmp_path / "out" / "scan.html").read_text()
    assert {"pattern": "heads", "sparsity": 0.9, "why": line.split(": ")[1] + "; choose a smaller one"} in found[
        "left_out"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pattern", "headz"], "did you mean 'heads'"),
        (["--criterion", "tailor"], "did you mean 'taylor'"),
        (["--pattern", "heads", "--sparsities", "0.9"], "leaves none of the 4 heads of a layer"),
        (["--pattern", "heads", "--criterion", "similarity"], "heads have none of their own"),
        (["--pattern", "elements"], "switches whole units off"),
        (["--pattern", "heads", "--criterion", "wanda"], "scores single weights, not heads"),
    ],
)
def test_mistakes_are_named(tmp_path, options, message):
    assert message in refused("scan", recipe_file(tmp_path, []), "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_head_that_is_not_trained_is_refused(tmp_path):
    recipe = recipe_file(tmp_path, [], trained=False)
    assert "head is trained for the task" in refused("scan", recipe, "--out", tmp_path / "out")


@pytest.mark.parametrize("share", ["1", "0", "half", "-0.5"])
def test_a_share_is_between_nothing_and_all(tmp_path, share):
    result = trimformer("scan", recipe_file(tmp_path, []), "--sparsities", share)
    assert result.exit_code == 2 and "above 0 and below 1" in result.output


def test_all_of_it_asked_for_is_a_mistake_in_a_recipe(tmp_path):
    stage = {"prune": {"pattern": "heads", "sparsity": 1, "criterion": "magnitude", "recover": "none"}}
    assert "less than 1" in refused("check", recipe_file(tmp_path, [stage]))
