"""The card of an export, and the lines of code on it: they run, and give the logits of the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compress.core.checkpoint.usage import Usage
from compress.export.card import CARD, RANGES_PER_CALL, card, export_usage
from compress.export.format import Format
from compress.export.stage import Export
from tests.compress.export.given import context, trained_bundle

FORMATS = [{"onnx": {"precision": "fp32"}}, {"openvino": {"precision": "fp32"}}, "pt2"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=["onnx", "openvino", "pt2"])
def test_the_lines_on_the_card_give_the_models_answer(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = trained_bundle("bert", num_hidden_layers=1, id2label={0: "bad", 1: "good"})
    directory = Export(format=form).run(bundle, context(tmp_path)).directory
    text = (directory / CARD).read_text("utf-8")
    found = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert found and len(found.group(1).splitlines()) <= 9 and "Checked against PyTorch on" in text
    assert "Labels: bad, good." in text and RANGES_PER_CALL not in text
    monkeypatch.chdir(directory)
    names: dict[str, Any] = {}
    exec(found.group(1), names)
    inputs = bundle.processor("a text", return_tensors="pt")
    with torch.inference_mode():
        wanted = bundle.model(**inputs).logits
    np.testing.assert_allclose(
        names["logits"].detach() if form == "pt2" else names["logits"], wanted, atol=0.02
    )  # OpenVINO in bf16
    assert capsys.readouterr().out.strip() == bundle.config.id2label[int(wanted.argmax())]
    counts = json.loads((directory / "export.json").read_text("utf-8"))["counts"]
    assert counts["parameters"] == sum(parameter.numel() for parameter in bundle.model.parameters())


@pytest.mark.parametrize("name", sorted(Format.members()))
def test_every_format_says_how_it_is_called(name: str) -> None:
    member = Format.members()[name]
    manifest = {"format": name, "precision": "int8", "inputs": ["input_ids"], "outputs": ["logits"]}
    usage = member.usage(manifest)
    compile(usage.code("somewhere", remark="there"), name, "exec")
    assert "directory" in usage.opening and "model" in usage.logits


def test_int8_with_ranges_of_each_call_says_that_answers_depend_on_the_batch(tmp_path: Path) -> None:
    manifest = {"format": "onnx", "precision": "int8", "inputs": ["input_ids"], "model_type": "bert", "runtime": "x"}
    (tmp_path / "export.json").write_text(json.dumps(manifest))
    facts = {"rows_compared": 8, "agreement_with_pytorch": 1.0, "largest_logit_difference": 0.1}
    assert RANGES_PER_CALL in card(tmp_path, facts) and export_usage(tmp_path).labels == ""


def test_imports_of_one_module_are_one_line() -> None:
    usage = Usage(("import onnx", "from transformers import AutoConfig"), "model = 1", "model", "names")
    assert usage.code("x").splitlines()[:2] == ["import onnx", "from transformers import AutoConfig, AutoTokenizer"]
