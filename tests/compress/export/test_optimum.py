"""An export as optimum's clients expect it: their file name, and inputs as their own generator makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from optimum.utils import ONNX_WEIGHTS_NAME, NormalizedTextConfig
from optimum.utils.input_generators import DummyTextInputGenerator

from compress.export import open_artifact
from compress.export.stage import Export
from tests.compress.export.given import context, logits_of, trained_bundle


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("rows", "tokens"), [(1, 5), (3, 17)])
def test_dummy_inputs_of_any_shape_are_answered_as_pytorch_does(rows: int, tokens: int, tmp_path: Path) -> None:
    bundle = trained_bundle("bert", num_hidden_layers=1)
    artifact = Export(format={"onnx": {"precision": "fp32"}}).run(bundle, context(tmp_path, rows=40))
    assert (artifact.directory / ONNX_WEIGHTS_NAME).is_file()
    config = NormalizedTextConfig(bundle.config)
    dummy = DummyTextInputGenerator("text-classification", config, batch_size=rows, sequence_length=tokens)
    batch = {name: dummy.generate(name) for name in ("input_ids", "attention_mask", "token_type_ids")}
    answers = open_artifact(artifact.directory)({name: value.numpy() for name, value in batch.items()})
    np.testing.assert_allclose(answers, logits_of(bundle, batch), atol=1e-4)
