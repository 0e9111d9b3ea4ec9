"""A factorized model in other runtimes: as it is, its factors two products in the graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.core.model.bundle import Bundle
from compress.export.stage import Export
from compress.factorize.stage import Factorize
from tests.compress.export.given import context, trained_bundle
from tests.tiny.stages import refused


def low_rank(name: str, ctx) -> Bundle:
    settings = {"recover": "none"}
    bundle = Factorize.model_validate({"what": "linears", "rank": {"ratio": 0.5}, **settings})
    words = Factorize.model_validate({"what": "embeddings", "rank": 8, **settings})
    return words.run(bundle.run(trained_bundle(name), ctx), ctx)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("bert", {"onnx": {"precision": "fp32"}}),
        pytest.param("gpt2", {"openvino": {"precision": "fp32"}}, marks=pytest.mark.slow),
    ],
)
def test_it_answers_alike(name: str, format: dict, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    stage = Export(format=format)
    bundle = low_rank(name, ctx)
    assert refused(stage, bundle.sketch()) is None
    stage.run(bundle, ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-4


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_in_int8(runtime: str, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    # A model of random weights answers close to the line, where int8 turns some answers round.
    stage = Export(format={runtime: {"precision": "int8"}}, agreement=0.6)
    artifact = stage.run(low_rank("bert", ctx), ctx)
    assert artifact.precision == "int8" and any(artifact.directory.iterdir())
