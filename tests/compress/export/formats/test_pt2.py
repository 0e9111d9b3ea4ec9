from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from compress.core.errors import InputError, StageFailed
from compress.export import open_artifact
from compress.export.formats.pt2 import FILE, Pt2
from compress.export.stage import Export
from recipes.measure.runners import open_model
from recipes.measure.size import model_files
from tests.compress.export.given import context, cut_bundle, logits_of, trained_bundle
from tests.tiny import FAMILIES, IMAGE_FAMILIES
from tests.tiny.stages import declared

pytestmark = pytest.mark.xdist_group("pt2")  # what they share is dear, and made once

TWO_BLOCKS = {"num_hidden_layers": 2}  # the exporter's time grows with them
BRANCHES_ON_VALUES = {"t5", "bart"}
"""Families whose head looks for the end of the text: how many it finds is no shape that the inputs tell."""
FIRST = {"bert"}
TEXT_FAMILIES = [
    pytest.param(family, marks=[] if family in FIRST else [pytest.mark.slow])
    for family in FAMILIES
    if family not in IMAGE_FAMILIES and family not in BRANCHES_ON_VALUES
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A BERT whose blocks have own numbers of heads and neurons, with its context and artifact."""
    bundle, ctx = cut_bundle(), context(tmp_path_factory.mktemp("pt2"))
    return bundle, ctx, Export(format="pt2").run(bundle, ctx)


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_it_gives_pytorchs_logits_on_every_family(family: str, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    Export(format="pt2").run(trained_bundle(family, **TWO_BLOCKS), ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5
    assert ctx.facts["agreement_with_pytorch"] == 1.0
    assert ctx.facts["rows_compared"] == 41


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(BRANCHES_ON_VALUES))
def test_a_model_that_branches_on_values_is_named(family: str, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=f"a {family} model cannot be written by torch.export") as caught:
        Export(format="pt2").run(trained_bundle(family, **TWO_BLOCKS), context(tmp_path, rows=8))
    assert "another format" in str(caught.value.advice)


@pytest.mark.slow
def test_torch_alone_runs_it_at_any_batch_size_and_length(exported) -> None:
    bundle, ctx, artifact = exported
    program = torch.export.load(artifact.directory / FILE).module()
    for rows in (1, 7, 40):
        batch = next(iter(ctx.batches(bundle, part="train", batch_size=rows)))
        for length in (1, 5, batch["input_ids"].shape[1]):
            cut = {name: v[:, :length] if v.dim() == 2 else v for name, v in batch.items()}
            with torch.inference_mode():
                found = program(*(cut[name] for name in artifact.notes["inputs"])).numpy()
            assert np.abs(found - logits_of(bundle, cut)).max() < 1e-5


@pytest.mark.slow
def test_blocks_of_their_own_sizes_are_checked_and_named(exported) -> None:
    _, ctx, artifact = exported
    assert (artifact.runtime, artifact.precision) == ("pt2", "fp32")
    assert ctx.facts["attention_heads"] == [1, 2, 3, 4]
    assert ctx.facts["largest_logit_difference"] < 1e-5
    assert {path.name for path in artifact.directory.iterdir()} == {
        "model.pt2", "config.json", "README.md", "export.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    manifest = json.loads((artifact.directory / "export.json").read_text())
    assert (manifest["files"], manifest["outputs"], manifest["runtime"]) == ([FILE], ["logits"], "torch")


@pytest.mark.slow
def test_it_is_measured_as_any_export_is(exported) -> None:
    bundle, ctx, artifact = exported
    batch = next(iter(ctx.batches(bundle, part="train", batch_size=5)))
    arrays = {name: values.numpy() for name, values in batch.items()}
    model = open_model(artifact.directory, threads=1)
    assert np.abs(model(arrays)["logits"] - logits_of(bundle, batch)).max() < 1e-5
    assert [path.name for path in model_files(artifact.directory)] == ["config.json", "export.json", FILE]


@pytest.mark.slow
def test_the_threads_of_a_call_are_its_own(exported, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, ctx, artifact = exported
    arrays = {name: v.numpy() for name, v in next(iter(ctx.batches(bundle, part="train", batch_size=2))).items()}
    before, during = torch.get_num_threads(), []
    session = open_artifact(artifact.directory, threads=before + 1)
    run = session._run
    monkeypatch.setattr(session, "_run", lambda *given: during.append(torch.get_num_threads()) or run(*given))
    first = session(arrays)
    assert during == [before + 1] and torch.get_num_threads() == before
    assert first.dtype == np.float32 and np.abs(first - open_artifact(artifact.directory)(arrays)).max() < 1e-6


def test_the_archive_holds_no_pickle_and_no_path_of_this_machine(exported) -> None:
    _, _, artifact = exported
    with zipfile.ZipFile(artifact.directory / FILE) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    assert not any(content for name, content in members.items() if name.endswith((".pt", ".pkl")))
    assert not any(b".py" in content for name, content in members.items() if name.endswith(".json"))


def test_an_archive_with_a_pickle_is_not_opened(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(2, 3),))
    torch.export.save(program, tmp_path / FILE)
    (tmp_path / "export.json").write_text(json.dumps({"format": "pt2", "inputs": ["x"], "outputs": ["logits"]}))
    with pytest.raises(InputError, match="a pickle in an archive is not opened"):
        open_artifact(tmp_path)


def test_there_is_one_precision() -> None:
    assert Pt2() == Pt2().reference() and Export(format="pt2").requires().packages == ()
    with pytest.raises(ValueError, match="fp32"):
        Export(format={"pt2": {"precision": "int8"}})


@pytest.mark.slow
def test_bytes_are_predicted(tmp_path: Path) -> None:
    bundle = trained_bundle("bert", hidden_size=128, intermediate_size=512, vocab_size=4000, **TWO_BLOCKS)
    stage = Export(format="pt2")
    written = (stage.run(bundle, context(tmp_path, rows=8)).directory / FILE).stat().st_size
    assert declared(stage, bundle.sketch()).bytes == pytest.approx(written, rel=0.05)
