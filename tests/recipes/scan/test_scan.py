"""The command `scan`: what it measures, that it goes on where it was, what it refuses."""

import json

import pytest
import torch

from compress.core.checkpoint.save import save
from compress.prune.criteria.fisher import Fisher
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.random import Random
from compress.prune.criteria.sparsegpt import SparseGPT
from compress.prune.criteria.taylor import Taylor
from compress.prune.criteria.wanda import Wanda
from compress.prune.scan import Scoring, probes, value_at
from compress.prune.stage import Prune
from compress.prune.units.heads import Heads
from compress.prune.units.layers import Layers
from compress.prune.weights.blocks import Blocks
from compress.prune.weights.elements import Elements
from compress.prune.weights.n_m import NM
from tests.compress.distill.stub import stub_context, trained
from tests.recipes.cli.test_app import refused, trimformer
from tests.recipes.front import recipe_file


def probed(bundle, pattern, sparsities, criterion=None, **known):
    scoring = Scoring(bundle, criterion or Magnitude(), stub_context(), **known)
    return list(probes(pattern, scoring, sparsities))


def kept(probe):
    return probe.masked.args[-1]


def test_each_layer_alone_and_all_at_once():
    found = probed(trained("bert"), Heads(), (0.25, 0.5))
    assert [probe.where for probe in found] == [f"layer {n // 2}" for n in range(8)] + ["all"] * 2
    assert [sum(map(len, kept(probe))) for probe in found] == [15, 14] * 4 + [12, 8]


def test_kinds_of_blocks_where_there_are_several():
    found = [p.where for p in probed(trained("t5"), Heads(), (0.5,))]
    assert found[4:6] == ["decoder 0", "decoder 1"]
    assert found[-4:] == ["encoder", "decoder", "cross-attention", "all"]


def test_layers_go_one_by_one_but_the_first_that_must_stay():
    found = probed(trained("modernbert"), Layers(), (0.5,))
    assert [probe.where for probe in found] == ["layer 1", "layer 2", "layer 3", "all"]


def test_the_first_layer_stays_where_it_must_though_it_is_worth_least():
    found = probed(trained("modernbert"), Layers(), (0.5,), importance={"layers": [[0.0, 3.0, 2.0, 1.0]]})
    assert kept(found[-1]) == ((0, 1),)


def answers(of):
    return of.model(**of.processor("a good film", return_tensors="pt")).logits.detach().sum().item()


def test_a_value_is_that_of_the_masked_model():
    bundle = trained("bert")
    probe = probed(bundle, Heads(), (0.5,))[-1]
    with Heads().masked(bundle, kept(probe)):
        expected = answers(bundle)
    assert value_at(bundle, probe, answers) == expected != answers(bundle)


def test_weights_are_masked_by_layer_by_role_and_all_at_once():
    found = [(probe.where, probe.sparsity) for probe in probed(trained("bert"), Elements(), (0.5, 0.9))]
    roles = ["query", "key", "value", "output", "up", "down"]
    assert found == [(w, s) for w in [*(f"layer {n}" for n in range(4)), *roles, "all"] for s in (0.5, 0.9)]
    assert [p.where for p in probed(trained("gpt2"), NM(), (0.5,))][4:] == [
        "query, key, value",
        "output",
        "up",
        "down",
        "all",
    ]
    assert [p.where for p in probed(trained("albert"), NM(), (0.5,))][-1] == "all"


CRITERIA = [Random(), Magnitude(), Taylor(batches=1), Fisher(batches=1), Wanda(rows=8), SparseGPT(rows=8)]


def test_weights_of_two_stacks_are_masked_stack_by_stack_too():
    found = [probe.where for probe in probed(trained("t5"), Elements(), (0.5,))]
    assert found[:4] == [f"encoder {n}" for n in range(4)]
    assert found[4:8] == ["decoder 0", "decoder 1", "cross-attention 0", "cross-attention 1"]
    assert found[8:12] == ["encoder", "decoder", "cross-attention", "query"] and found[-2:] == ["down", "all"]


PATTERNS = [Elements(), NM(), Blocks(rows=4, columns=4)]
PAIRS = [(c, p) for c in CRITERIA for p in PATTERNS if not c.refuses(p, "uniform")]


@pytest.mark.parametrize(("criterion", "pattern"), PAIRS, ids=lambda each: each.name)
def test_all_weights_masked_are_what_prune_leaves_and_come_back(criterion, pattern):
    bundle, ctx = trained("bert"), stub_context()
    whole = answers(bundle)
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    probe = probed(bundle, pattern, (0.5,), criterion)[-1]
    found = value_at(bundle, probe, answers)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bundle.model.state_dict().items())
    assert not bundle.masks and "masked" not in bundle.states and answers(bundle) == whole
    pruned = Prune(pattern=pattern, sparsity=0.5, criterion=criterion, recover=None).run(bundle, ctx)
    assert found == answers(pruned) != whole


@pytest.mark.parametrize("criterion", [Magnitude(), Wanda(rows=8), SparseGPT(rows=8)], ids=lambda each: each.name)
def test_one_place_alone_is_masked(criterion):
    bundle = trained("bert")
    before = {name: tensor.clone() for name, tensor in bundle.model.named_parameters()}
    for probe in probed(bundle, Elements(), (0.5,), criterion):
        with probe.masked():
            now = dict(bundle.model.named_parameters())
            moved = {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}
            shares = [int((now[name] == 0).sum()) / now[name].numel() for name in moved]
        assert shares == [0.5] * {"l": 6, "a": 24}.get(probe.where[0], 4)


def test_scores_of_weights_are_taken_once(monkeypatch):
    asked = []
    score = Magnitude.score_weights
    monkeypatch.setattr(Magnitude, "score_weights", lambda *given: asked.append(1) or score(*given))
    bundle = trained("bert")
    scoring = Scoring(bundle, Magnitude(), stub_context())
    for pattern in (Elements(), Blocks(rows=4, columns=4)):
        for probe in probes(pattern, scoring, (0.25, 0.5)):
            value_at(bundle, probe, answers)
    assert len(asked) == 1
    assert scoring.columns["elements"] == ["query", "key", "value", "output", "up", "down"]
    assert [len(row) for row in scoring.importance["blocks (rows 4, columns 4)"]] == [6] * 4


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


def test_the_command_scans_weights(tmp_path):
    out = tmp_path / "out"
    patterns = ["--pattern", "elements", "--pattern", "{n_m: {n: 1}}", "--pattern", "{blocks: {rows: 4, columns: 4}}"]
    asked = ["scan", recipe_file(tmp_path, []), "--out", out, "--criterion", "magnitude", "--sparsities", "0.5,0.9"]
    result = trimformer(*asked, *patterns)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "scan.json").read_text())
    shares = {
        name: sorted({p["sparsity"] for p in found["points"] if p["pattern"] == name}) for name in found["columns"]
    }
    assert shares == {"elements": [0.5, 0.9], "n_m (n 1)": [0.75], "blocks (rows 4, columns 4)": [0.5, 0.9]}
    assert [len(row) for row in found["importance"]["elements"]] == [6] * 4
    page = (out / "scan.html").read_text()
    assert page.count("from left to right query, key, value, output, up, down") == 3
    assert all(f">{name}</text>" in page for name in ("layer 3", "query", "down", "all"))
    assert "dashed ones one type" in page and "| query |" in result.stdout
    assert trimformer(*asked, *patterns).output == result.output
    assert json.loads((out / "scan.json").read_text()) == found


def test_weights_that_are_cut_already_count(tmp_path):
    bundle = Prune(pattern=Elements(), sparsity=0.5, criterion=Magnitude(), recover=None).run(trained(), stub_context())
    found = Scoring(bundle, Magnitude(), stub_context())
    assert value_at(bundle, list(probes(Elements(), found, (0.5,)))[-1], answers) == answers(bundle)
    recipe = recipe_file(tmp_path, [])
    save(bundle, tmp_path / "masked")
    asked = [
        "scan",
        recipe,
        "--set",
        f"model={tmp_path / 'masked'}",
        "--pattern",
        "elements",
        "--criterion",
        "magnitude",
    ]
    assert "more weights are cut already than sparsity 0.25" in refused(*asked, "--out", tmp_path / "out")


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
        (["--pattern", "{n_m: {n: 4, m: 4}}"], "so that something is cut"),
        (["--pattern", "{n_m: {n: 2, m: 5}}", "--criterion", "magnitude"], "do not divide into groups of 5"),
        (["--pattern", "elements", "--criterion", "similarity"], "similarity scores whole units, not elements"),
        (["--pattern", "elements", "--criterion", "movement"], "learns its scores in a training"),
        (["--pattern", "{elements"], "not YAML"),
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
