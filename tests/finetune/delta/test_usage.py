"""The lines of code of a report run, whatever the model was saved as, and give its logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import finetune
from compress.core.checkpoint.save import load, save
from compress.core.checkpoint.usage import auto_class, model_usage
from compress.core.model.bundle import Bundle
from compress.core.surgery.heads_and_neurons import head_counts, keep_heads
from finetune.delta.usage import delta_usage
from finetune.methods.bitfit import Bitfit
from finetune.methods.lora import Lora
from tests.finetune.delta.test_switching import tuned
from tests.tiny import tiny_bundle


def run(code: str) -> Any:
    names: dict[str, Any] = {}
    exec(code, names)
    return names["logits"].detach()


def wanted(bundle: Bundle) -> torch.Tensor:
    with torch.inference_mode():
        return bundle.model.eval()(**bundle.processor("a text", return_tensors="pt")).logits


@pytest.mark.parametrize("cut", [False, True], ids=["stock", "code of its own"])
def test_a_saved_model(cut: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle("bert")
    if cut:
        counts = head_counts(bundle.model, bundle.family)
        keep_heads(bundle.model, bundle.family, tuple(tuple(range(1 + n % of)) for n, of in enumerate(counts)))
    usage = model_usage(save(bundle, tmp_path))
    assert usage is not None and ("trust_remote_code=True" in usage.opening) == cut
    torch.testing.assert_close(run(usage.code(str(tmp_path))), wanted(bundle))
    assert capsys.readouterr().out.strip() in bundle.config.id2label.values()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
@pytest.mark.parametrize(("method", "tool"), [(Lora(rank=2), "AutoPeftModel"), (Bitfit(), "finetune.load")])
def test_a_delta(method: Any, tool: str, tmp_path: Path) -> None:
    save(tiny_bundle("bert"), tmp_path / "base")
    after = tuned(load(tmp_path / "base"), method)
    usage = delta_usage(finetune.save_delta(after, tmp_path / "delta", base=tmp_path / "base"))
    assert tool in usage.opening and usage.labels
    torch.testing.assert_close(run(usage.code(str(tmp_path / "delta"))), wanted(after))


def test_a_model_without_a_head_has_no_answer_to_show() -> None:
    assert auto_class(["BertModel"]) is None and auto_class(None) is None and auto_class([]) is None
    assert auto_class(["ViTForImageClassification"]) == "AutoModelForImageClassification"
