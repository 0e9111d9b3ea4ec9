from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from compress.core.errors import ParityError, StageFailed
from compress.core.model.sharing import share_blocks
from compress.core.surgery.width import keep_width
from compress.export import open_artifact
from compress.export.formats import onnx as onnx_format
from compress.export.formats.onnx_graph import separate_norms
from compress.export.stage import Export
from tests.compress.export.given import context, cut_bundle, logits_of, trained_bundle
from tests.tiny import FAMILIES, IMAGE_FAMILIES, few
from tests.tiny.stages import declared

COMMON = ("bert", "electra", "mpnet", "distilbert", "roberta")
TWO_BLOCKS = {"num_hidden_layers": 2}  # the exporter's time grows with them

INTEGER_NODES = {"bert": 10, "electra": 11, "mpnet": 14, "distilbert": 10, "roberta": 10}
"""Two blocks of an attention and three linears (MPNet: of six linears), pooler, classifier, embedding projection."""


def operators(directory: Path) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load_model(str(directory / "model.onnx")).graph.node)


@pytest.mark.parametrize("family", few(name for name in FAMILIES if name not in IMAGE_FAMILIES))
def test_fp32_gives_pytorchs_logits_on_every_family(family: str, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    Export(format={"onnx": {"precision": "fp32"}}).run(trained_bundle(family, **TWO_BLOCKS), ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5
    assert ctx.facts["agreement_with_pytorch"] == 1.0
    assert ctx.facts["rows_compared"] == 41


@pytest.mark.parametrize("family", few(COMMON))
def test_int8_multiplies_in_integers_and_agrees(family: str, tmp_path: Path) -> None:
    ctx = context(tmp_path)
    artifact = Export(format="onnx", agreement=0.9).run(trained_bundle(family, **TWO_BLOCKS), ctx)
    assert ctx.facts["integer_nodes"] == INTEGER_NODES[family]
    assert 0.9 <= ctx.facts["agreement_with_pytorch"] <= 1.0
    assert operators(artifact.directory)["DequantizeLinear"] >= 2  # the embedding tables are int8 too
    assert ctx.facts["fused_attentions"] == (0 if family == "mpnet" else 2)


def test_layers_that_share_multiply_in_integers_as_others_do(tmp_path: Path) -> None:
    bundle, ctx = trained_bundle("bert", **TWO_BLOCKS), context(tmp_path, rows=40)
    share_blocks(bundle.model, bundle.family, what="all", groups=((0, 1),), sources=((0,),))
    Export(format="onnx", agreement=0).run(bundle, ctx)
    assert ctx.facts["integer_nodes"] == INTEGER_NODES["bert"]


def test_files_are_those_that_other_clients_expect(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    artifact = Export(format="onnx", agreement=0).run(cut_bundle(), context(tmp_path))
    assert artifact.directory == tmp_path / "export"
    assert (artifact.runtime, artifact.precision) == ("onnx", "int8")
    assert {path.name for path in artifact.directory.iterdir()} == {
        "model.onnx", "config.json", "export.json", "tokenizer.json", "tokenizer_config.json", "README.md",
    }  # fmt: skip
    assert AutoConfig.from_pretrained(artifact.directory).model_type == "bert"
    assert AutoTokenizer.from_pretrained(artifact.directory)("good film")["input_ids"]


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_blocks_with_their_own_numbers_of_heads_stay_right(family: str, fuse: bool, tmp_path: Path) -> None:
    ctx = context(tmp_path, rows=40)
    Export(format={"onnx": {"precision": "fp32", "fuse": fuse}}).run(cut_bundle(family), ctx)
    assert ctx.facts["attention_heads"] == [1, 2, 3, 4]
    assert ctx.facts["largest_logit_difference"] < 1e-5
    assert ctx.facts["fused_attentions"] == (4 if fuse else 0)


@pytest.mark.parametrize("fuse", [False, "auto"])
def test_a_narrower_model_stays_right(fuse: bool | str, tmp_path: Path) -> None:
    ctx, bundle = context(tmp_path, rows=40), trained_bundle("bert", **TWO_BLOCKS)
    keep_width(bundle.model, bundle.family, tuple(range(0, 32, 3)))
    Export(format={"onnx": {"precision": "fp32", "fuse": fuse}}).run(bundle, ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5


def test_fused_int8_agrees(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    artifact = Export(format={"onnx": {"fuse": True}}, agreement=0.9).run(cut_bundle(), ctx)
    assert operators(artifact.directory)["QAttention"] == 4


def test_one_number_of_heads_for_all_blocks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.export.formats import onnx_fusion

    monkeypatch.setattr(onnx_fusion, "_set_heads", lambda *_: None)
    with pytest.raises(ParityError, match="differs from PyTorch by"):
        Export(format={"onnx": {"precision": "fp32", "fuse": True}}).run(cut_bundle(), context(tmp_path, rows=40))


def test_auto_keeps_the_plain_graph_where_the_fused_one_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compress.export.formats import onnx_fusion

    monkeypatch.setattr(onnx_fusion, "_set_heads", lambda *_: None)
    ctx = context(tmp_path, rows=40)
    Export(format={"onnx": {"precision": "fp32"}}).run(cut_bundle(), ctx)
    assert ctx.facts["fused_attentions"] == 0
    assert ctx.facts["largest_logit_difference"] < 1e-5


def test_fusion_that_knows_no_block_says_so(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="mpnet") as caught:
        Export(format={"onnx": {"fuse": True}}).run(trained_bundle("mpnet", **TWO_BLOCKS), context(tmp_path, rows=40))
    assert caught.value.advice == "set fuse: auto"


def test_norms_stay_apart_from_their_residuals(tmp_path: Path) -> None:
    bundle, ctx = trained_bundle("bert", **TWO_BLOCKS), context(tmp_path, rows=40)
    artifact = Export(format={"onnx": {"precision": "fp32"}}).run(bundle, ctx)
    found = operators(artifact.directory)
    assert found["LayerNormalization"] == 5  # two in each block, one after the embeddings
    assert found["Sum"] == 5


def test_separate_norms_leaves_other_additions_alone() -> None:
    from onnx import TensorProto, helper

    def value(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3])

    nodes = [
        helper.make_node("Add", ["a", "b"], ["residual"]),
        helper.make_node("LayerNormalization", ["residual", "scale"], ["normed"]),
        helper.make_node("Add", ["normed", "scale"], ["biased"]),
        helper.make_node("LayerNormalization", ["biased", "scale"], ["out"]),
    ]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [3], [1.0, 1.0, 1.0])
    graph = helper.make_model(helper.make_graph(nodes, "g", [value("a"), value("b")], [value("out")], [scale]))
    assert separate_norms(graph) == 1
    assert [node.op_type for node in graph.graph.node] == ["Sum", "LayerNormalization", "Add", "LayerNormalization"]


def test_reopened_it_answers_the_same_to_any_batch(tmp_path: Path) -> None:
    bundle, ctx = trained_bundle("bert", **TWO_BLOCKS), context(tmp_path)
    artifact = Export(format={"onnx": {"precision": "fp32"}}).run(bundle, ctx)
    for rows in (1, 7, 40):
        batch = next(iter(ctx.batches(bundle, part="train", batch_size=rows)))
        arrays = {name: values.numpy() for name, values in batch.items()}
        first = open_artifact(artifact.directory)(arrays)
        assert first.dtype == np.float32
        assert np.array_equal(first, open_artifact(artifact.directory, threads=1)(arrays))
        assert np.abs(first - logits_of(bundle, batch)).max() < 1e-5


def test_same_model_gives_the_same_file(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        bundle, ctx = trained_bundle("bert", **TWO_BLOCKS), context(tmp_path / name, rows=40)
        artifact = Export(format="onnx", agreement=0).run(bundle, ctx)
        written.append((artifact.directory / "model.onnx").read_bytes())
    assert written[0] == written[1]


def test_the_graph_takes_any_padding(tmp_path: Path) -> None:
    bundle, ctx = trained_bundle("bert", **TWO_BLOCKS), context(tmp_path, rows=40)
    bundle.processor.padding_side = "left"
    Export(format={"onnx": {"precision": "fp32", "fuse": True}}).run(bundle, ctx)
    assert ctx.facts["largest_logit_difference"] < 1e-5


def test_bytes_are_predicted(tmp_path: Path) -> None:
    bundle = trained_bundle("bert", hidden_size=128, intermediate_size=512, vocab_size=4000, **TWO_BLOCKS)
    for precision, file in (("fp32", onnx_format.FILE), ("int8", onnx_format.FILE)):
        stage = Export(format={"onnx": {"precision": precision}}, agreement=0)
        artifact = stage.run(bundle, context(tmp_path, rows=40))
        written = (artifact.directory / file).stat().st_size
        assert declared(stage, bundle.sketch()).bytes == pytest.approx(written, rel=0.1)
