"""One tiny classifier for each family."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from compress.core.checkpoint.open import quiet
from compress.core.families.family import families
from compress.core.model.bundle import Bundle
from tests.tiny.rows import tiny_rows
from tests.tiny.tokens import VOCABULARY, tiny_tokenizer

__all__ = [
    "FAMILIES",
    "IMAGE_FAMILIES",
    "few",
    "tiny_bundle",
    "tiny_classifier_directory",
    "tiny_config",
    "tiny_inputs",
    "tiny_logits",
]

COMMON: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 72,
    "pad_token_id": VOCABULARY["[PAD]"],
    "bos_token_id": VOCABULARY["[CLS]"],
    "eos_token_id": VOCABULARY["[SEP]"],
    # The default of 0.02 makes logits of nearly nothing at this width, and a wrong cut would not show.
    "initializer_range": 0.2,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
IMAGE = {"image_size": 16, "patch_size": 4, "pooler_output_size": 32}
OWN: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "electra": {"embedding_size": 16},
    "mpnet": {},
    "distilbert": {"hidden_dim": 48},
    "albert": {"embedding_size": 16, "classifier_dropout_prob": 0.1},
    "deberta": {**RELATIVE, "pooler_hidden_size": 32},
    "deberta-v2": {**RELATIVE, "pooler_hidden_size": 32, "position_buckets": 16, "norm_rel_ebd": "layer_norm"},
    "modernbert": {
        "cls_token_id": VOCABULARY["[CLS]"],
        "sep_token_id": VOCABULARY["[SEP]"],
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
    },
    "t5": {"d_ff": 48, "num_decoder_layers": 2, "d_kv": 8, "initializer_factor": 1.0, "decoder_start_token_id": 1},
    "bart": {
        "init_std": 0.2,
        "encoder_ffn_dim": 48,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 48,
        "decoder_start_token_id": 3,
    },
    "gpt2": {"n_inner": 48},
    "vit": IMAGE,
    "deit": IMAGE,
}
BUILDS = ("bert", "albert", "gpt2", "t5")
FAMILIES: tuple[str, ...] = tuple(sorted(families(), key=lambda name: (*OWN, name).index(name)))
"""Every family that there is; one that needs no settings of its own need not stand in `OWN`."""
IMAGE_FAMILIES = frozenset({"vit", "deit"})


def few(names: Iterable[str] = FAMILIES) -> list[Any]:
    """Families as parameters of a dear test: by default one of each build, all others under `slow`.

    An encoder, one whose layers share, fused and transposed weights, and an encoder with a decoder.
    """
    return [pytest.param(name, marks=[] if name in BUILDS else [pytest.mark.slow]) for name in names]


def tiny_config(model_type: str, labels: int = 2, **config: Any) -> Any:
    """A configuration of 4 layers, 4 heads, width 32, 48 neurons."""
    from transformers import AutoConfig

    asked = {**COMMON, **OWN.get(model_type, {}), "num_labels": labels, **config}
    return AutoConfig.for_model(model_type, **asked)


def tiny_bundle(model_type: str, labels: int = 2, seed: int = 0, **config: Any) -> Bundle:
    """A random classifier on the CPU in evaluation mode, with its tokenizer or image processor; head not trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _head_class(model_type)(tiny_config(model_type, labels, **config))
        # Zero biases and unit norms would hide a part that was cut in the wrong place.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return Bundle(model.eval(), _processor(model_type))


def tiny_classifier_directory(path: Path | str, model_type: str = "bert", labels: int = 2, seed: int = 0) -> Path:
    """A directory as the hub has them: config, safetensors, tokenizer; its head counts as trained."""
    bundle = tiny_bundle(model_type, labels, seed)
    with quiet():
        bundle.model.save_pretrained(path)
        bundle.processor.save_pretrained(path)
    config = Path(path) / "config.json"
    # transformers leaves two labels out of the file, and BART reads three then.
    config.write_text(json.dumps({**json.loads(config.read_text()), "id2label": bundle.config.id2label}))
    return Path(path)


def tiny_inputs(bundle: Bundle, rows: int = 5, seed: int = 0) -> dict[str, torch.Tensor]:
    """An encoded batch of texts of several lengths, or of images."""
    if bundle.family.model_type in IMAGE_FAMILIES:
        return {"pixel_values": torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed))}
    texts = [row["text"] for row in tiny_rows(rows, seed)]
    return dict(bundle.processor(texts, padding=True, return_tensors="pt"))


def _head_class(model_type: str) -> Any:
    import transformers

    head = "AutoModelForImageClassification" if model_type in IMAGE_FAMILIES else "AutoModelForSequenceClassification"
    mapping = getattr(transformers, head)._model_mapping
    found = mapping[type(transformers.AutoConfig.for_model(model_type))]
    return found[0] if isinstance(found, (tuple, list)) else found


def _processor(model_type: str) -> Any:
    if model_type in IMAGE_FAMILIES:
        from transformers import ViTImageProcessorPil

        return ViTImageProcessorPil(size={"height": 16, "width": 16})
    return tiny_tokenizer(segments=model_type in {"bert", "electra", "albert", "deberta", "deberta-v2"})


def tiny_logits(bundle: Bundle) -> torch.Tensor:
    """The logits of `tiny_inputs`, in evaluation mode."""
    with torch.no_grad():
        logits: torch.Tensor = bundle.model.eval()(**tiny_inputs(bundle)).logits
    return logits
