"""A BERT of 4 layers and 20,000 parameters, made on the spot, so that the examples run in seconds without a download.

Its weights are random: the examples show how things are done, not what a model can do. Give them the directory of a
real model instead, as in `python examples/own_data.py ./my-encoder`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def write_tiny_model(directory: Path, texts: Sequence[str], *, seed: int = 0) -> Path:
    """A directory in Hugging Face's layout: config, random weights, and a tokenizer of the words in `texts`."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer
    from transformers.utils.logging import disable_progress_bar

    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *words])}
    torch.manual_seed(seed)
    disable_progress_bar()
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    )
    model.save_pretrained(directory)
    BertTokenizer(vocab=vocabulary, model_max_length=64, **SPECIAL).save_pretrained(directory)
    return directory
