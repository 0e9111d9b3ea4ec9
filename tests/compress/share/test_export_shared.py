"""What the runtimes make of shared tensors: the same answers, and each tensor once where the format does so."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.core.stage.context import Context
from compress.export.stage import Export
from compress.share.stage import Convert, Share
from tests.compress.export.given import context, trained_bundle

# Wide enough that the weights outweigh a graph.
SHAPE = {"hidden_size": 64, "intermediate_size": 1024, "num_hidden_layers": 4}
FORMATS = {
    "onnx-fp32": {"onnx": {"precision": "fp32"}},
    "onnx-int8": {"onnx": {"precision": "int8"}},
    "openvino-fp32": {"openvino": {"precision": "fp32"}},
}


def weights(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.suffix in {".onnx", ".bin", ".data"})


def exported(bundle, name, scratch):
    scratch.mkdir()
    artifact = Export(format=FORMATS[name], agreement=0.3).run(bundle.copy(), context(scratch, rows=40))
    return weights(Path(artifact.directory))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name != "onnx-fp32" else []) for name in FORMATS]
)
def test_a_shared_model_exports_and_the_file_holds_its_tensors_once(name, tmp_path):
    pytest.importorskip("onnxruntime" if "onnx" in name else "openvino")
    plain = trained_bundle("bert", **SHAPE)
    shared = Share(groups=1, recover=None).run(plain.copy(), Context())
    albert = Convert(to="albert", width=64, recover=None).run(plain.copy(), Context())
    sizes = {
        kind: exported(bundle, name, tmp_path / kind)
        for kind, bundle in {"plain": plain, "shared": shared, "albert": albert}.items()
    }
    assert max(sizes["shared"], sizes["albert"]) < 0.6 * sizes["plain"], sizes
