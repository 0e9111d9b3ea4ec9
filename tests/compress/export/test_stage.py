from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compress.core.errors import InputError, MissingPackage, ParityError, StageFailed
from compress.core.model.bundle import Bundle
from compress.core.stage.stage import Stage
from compress.export import open_artifact
from compress.export.parity import agreement
from compress.export.stage import Export
from tests.compress.export.given import context, logits_of, trained_bundle
from tests.tiny import TinyTask, class_answers, tiny_bundle
from tests.tiny.stages import declared, refused


@dataclass
class Changed:
    """A session that answers otherwise."""

    logits: Callable[[Any], np.ndarray]
    float_type: str = "f32"

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": self.logits(inputs)}


def bert(**config: Any) -> Bundle:
    """Of two blocks: the exporter's time grows with them."""
    return trained_bundle("bert", num_hidden_layers=2, **config)


def test_short_and_long_forms_are_one_value() -> None:
    assert Export(format="onnx") == Export(format={"onnx": {"precision": "int8"}})
    assert Stage.parse({"export": {"format": {"openvino": {"precision": "fp32"}}}}).recipe_form() == {
        "export": {"format": {"openvino": {"precision": "fp32"}}}
    }


def test_what_must_be_installed() -> None:
    assert Export(format="onnx").requires().packages == (("onnx", "onnx"), ("onnxruntime", "onnx"))
    assert Export(format="openvino").requires().packages == (("openvino", "openvino"), ("nncf", "openvino"))
    assert Export(format={"openvino": {"precision": "fp32"}}).requires().packages == (("openvino", "openvino"),)


def test_reference_is_the_same_runtime_at_its_default_precision() -> None:
    stage = Export(id="small", start="prune", format={"onnx": {"fuse": True}})
    assert declared(stage, tiny_bundle("bert").sketch()).reference == Export(
        format={"onnx": {"fuse": True, "precision": "fp32"}}
    )


def test_only_what_is_calibrated_draws_random_numbers() -> None:
    assert Export(format="openvino").requires().draws
    assert not Export(format={"openvino": {"precision": "fp32"}}).requires().draws
    assert not Export(format="onnx").requires().draws


@pytest.mark.parametrize("state", ["adapted", "quantized"])
def test_models_that_would_not_survive_are_refused(state: Any) -> None:
    bundle = bert()
    assert refused(Export(format="onnx"), bundle.sketch()) is None
    bundle.states = bundle.states | {state}
    assert refused(Export(format="onnx"), bundle.sketch())
    assert "head is not trained" in (refused(Export(format="onnx"), tiny_bundle("bert").sketch()) or "")


@pytest.mark.parametrize(("format", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_extra_is_named_with_its_command(
    format: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=package) as caught:
        Export(format=format).run(bert(), context(tmp_path, rows=8))
    assert f'pip install "trimformer[{format}]"' in str(caught.value)


def test_an_impossible_tolerance_refuses_with_the_measured_value(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"differs from PyTorch by \d.*in a logit, more than 1e-12"):
        Export(format={"onnx": {"precision": "fp32"}}, tolerance=1e-12).run(bert(), context(tmp_path, rows=8))


def test_too_little_agreement_refuses_with_the_measured_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.export import stage

    def other(directory: Path, *, exact: bool = False) -> Any:
        session = open_artifact(directory, exact=exact)
        return Changed(lambda inputs: -session(inputs))

    monkeypatch.setattr(stage, "open_artifact", other)
    with pytest.raises(ParityError, match=r"agrees with PyTorch on \d+\.\d+% of 41 select rows, less than 97.00%"):
        Export(format="onnx").run(bert(), context(tmp_path, rows=40))


def test_logits_that_are_no_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.export import stage

    monkeypatch.setattr(
        stage,
        "open_artifact",
        lambda *_, **__: Changed(lambda inputs: np.full((len(inputs["input_ids"]), 2), np.nan, dtype=np.float32)),
    )
    for precision in ("fp32", "int8"):
        with pytest.raises(ParityError):
            Export(format={"onnx": {"precision": precision}}, agreement=0).run(bert(), context(tmp_path, rows=8))


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    bundle, ctx = bert(), context(tmp_path, rows=8)
    batch = next(iter(ctx.batches(bundle, part="train")))
    before, attention = logits_of(bundle, batch), bundle.config._attn_implementation
    Export(format="onnx", agreement=0).run(bundle, ctx)
    assert np.array_equal(before, logits_of(bundle, batch))
    assert bundle.config._attn_implementation == attention
    assert all(parameter.requires_grad for parameter in bundle.model.parameters())
    assert not bundle.model.training


def test_exporters_are_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: Any) -> None:
    Export(format="onnx", agreement=0).run(bert(), context(tmp_path, rows=8))
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)


def test_a_model_that_cannot_be_traced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator\nand a long story")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(StageFailed, match=r"a bert model cannot be written as ONNX: no such operator\n"):
        Export(format="onnx").run(bert(), context(tmp_path, rows=8))


def test_the_manifest_says_how_it_was_made(tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=8)
    artifact = Export(format="onnx", agreement=0).run(bert(), ctx)
    manifest = json.loads((artifact.directory / "export.json").read_text())
    assert manifest["format"] == "onnx"
    assert manifest["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    assert manifest["attention_heads"] == [4, 4]
    assert {"torch", "transformers", "onnx", "onnxruntime", "python"} <= manifest["versions"].keys()
    assert manifest.pop("counts")["parameters"] == bert().sketch().parameters
    assert {**manifest, **ctx.facts} == ctx.facts
    assert artifact.notes == ctx.facts


def test_a_session_names_the_input_that_is_missing(tmp_path: Path) -> None:
    artifact = Export(format="onnx", agreement=0).run(bert(), context(tmp_path, rows=8))
    with pytest.raises(InputError, match="needs attention_mask, token_type_ids"):
        open_artifact(artifact.directory)({"input_ids": np.ones((1, 3), np.int64)})


def test_a_directory_without_an_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no export\.json"):
        open_artifact(tmp_path)
    (tmp_path / "export.json").write_text('{"format": "onyx"}')
    with pytest.raises(InputError, match="onyx"):
        open_artifact(tmp_path)


def test_agreement_of_labels_and_of_one_output() -> None:
    labels = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.3], [2.0, 1.0]])
    assert alike(labels, labels * 0.4) == 1.0
    assert alike(labels, labels[[0, 1, 3, 2]]) == 0.5
    line = np.arange(5.0)[:, None]
    assert alike(line, 2 * line + 1, metric="pearson") == pytest.approx(1.0)
    assert alike(line, -line, metric="pearson") == pytest.approx(-1.0)
    assert alike(line, line, metric="pearson") == 1.0


def alike(one: np.ndarray, other: np.ndarray, *, metric: str = "accuracy") -> float:
    return agreement(TinyTask(metric), class_answers(one), class_answers(other))


def test_regression_is_exported_and_judged_by_correlation(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.task = TinyTask("pearson")
    Export(format="onnx").run(bert(labels=1), ctx)
    assert 0.97 <= ctx.facts["agreement_with_pytorch"] < 1.0
