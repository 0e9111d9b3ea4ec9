"""What was stored in fewer bits is exported once it is dense, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.core.model.change import Nothing
from compress.export.stage import Export
from compress.quantize.store_linears import StoreLinears, to_dense
from tests.compress.export.given import context, trained_bundle
from tests.tiny.stages import declared, refused


@pytest.mark.parametrize(("name", "storage"), [("bert", "nf4"), ("gpt2", "int8")])
def test_dense_again_it_is_exported(name: str, storage: str, tmp_path: Path) -> None:
    bundle = trained_bundle(name).changed_by(StoreLinears(storage=storage))
    stage = Export(format={"onnx": {"precision": "fp32"}})
    assert "quantized" in (refused(stage, bundle.sketch()) or "")
    ctx = context(tmp_path, rows=40)
    bundle = to_dense(bundle)
    assert refused(stage, bundle.sketch()) is None and declared(stage, bundle.sketch()).change == Nothing()
    stage.run(bundle, ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5
