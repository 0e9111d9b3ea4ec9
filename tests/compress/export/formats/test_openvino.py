from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from compress.export import open_artifact
from compress.export.stage import Export
from tests.compress.export.given import context, cut_bundle, logits_of, trained_bundle
from tests.tiny import FAMILIES, IMAGE_FAMILIES
from tests.tiny.stages import declared

TEXT_FAMILIES = [family for family in FAMILIES if family not in IMAGE_FAMILIES]

FP32 = {"openvino": {"precision": "fp32"}}
TWO_BLOCKS = {"num_hidden_layers": 2}  # the converter's time grows with them


@pytest.mark.slow
def test_fp32_gives_pytorchs_logits_with_own_heads_and_neurons_in_each_block(tmp_path: Path) -> None:
    bundle, ctx = cut_bundle(), context(tmp_path, rows=16)
    artifact = Export(format=FP32).run(bundle, ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5
    assert ctx.facts["attention_heads"] == [1, 2, 3, 4]
    assert (artifact.runtime, artifact.precision) == ("openvino", "fp32")
    batch = next(iter(ctx.batches(bundle, part="train", batch_size=5)))
    arrays = {name: values.numpy() for name, values in batch.items()}
    session = open_artifact(artifact.directory, exact=True)
    first, again = session(arrays), session({name: values[::-1] for name, values in arrays.items()})
    assert first.dtype == np.float32
    assert np.abs(first - logits_of(bundle, batch)).max() < 1e-5  # the second call did not write over the first
    assert np.abs(first[::-1] - again).max() < 1e-5
    assert np.array_equal(first, open_artifact(artifact.directory, exact=True)(arrays))


@pytest.mark.slow
def test_int8_by_nncf(tmp_path: Path) -> None:
    bundle, ctx = trained_bundle("bert", num_hidden_layers=1), context(tmp_path, rows=24)
    artifact = Export(format={"openvino": {"rows": 20}}, agreement=0.8).run(bundle, ctx)
    assert {path.name for path in artifact.directory.iterdir()} == {
        "openvino_model.xml", "openvino_model.bin", "config.json", "README.md", "export.json", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert ctx.facts["integer_nodes"] == 8  # a block of six linears, pooler, classifier
    assert ctx.facts["calibration_rows"] == 20
    manifest = json.loads((artifact.directory / "export.json").read_text())
    assert {"openvino", "nncf"} <= manifest["versions"].keys()
    batch = next(iter(ctx.batches(bundle, part="train", batch_size=8)))
    arrays = {name: values.numpy() for name, values in batch.items()}
    assert np.array_equal(open_artifact(artifact.directory)(arrays), open_artifact(artifact.directory)(arrays))


@pytest.mark.heavy
@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_every_family_in_both_precisions(family: str, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    Export(format=FP32).run(trained_bundle(family, **TWO_BLOCKS), ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5
    # A tiny random model has small margins, so the share is not what a trained model gives.
    Export(format={"openvino": {"rows": 32}}, agreement=0.8).run(trained_bundle(family, **TWO_BLOCKS), ctx)
    assert ctx.facts["integer_nodes"] >= 9


@pytest.mark.slow
def test_embedding_tables_are_int8_too(tmp_path: Path) -> None:
    bundle = trained_bundle("bert", hidden_size=128, intermediate_size=512, vocab_size=4000, **TWO_BLOCKS)
    for precision in ("fp32", "int8"):
        stage = Export(format={"openvino": {"precision": precision, "rows": 32}}, agreement=0)
        artifact = stage.run(bundle, context(tmp_path, rows=40))
        written = (artifact.directory / "openvino_model.bin").stat().st_size
        assert declared(stage, bundle.sketch()).bytes == pytest.approx(written, rel=0.1)


@pytest.mark.slow
def test_nncf_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = trained_bundle("bert", **TWO_BLOCKS)
    Export(format="openvino", agreement=0).run(bundle, context(tmp_path, rows=16))
    assert capfd.readouterr() == ("", "")
