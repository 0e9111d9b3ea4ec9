"""What the tests of sharing share."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers

from compress.core.families.family import Family, family_of
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.share.stage import Share
from tests.compress.distill.stub import trained
from tests.tiny import FAMILIES

__all__ = [
    "LARGE",
    "NAMES",
    "PAIRS",
    "PARTS",
    "ROBERTA",
    "model_on_meta",
    "shared",
    "shared_copies",
    "trained",
]

NAMES = [name for name in FAMILIES if "blocks" not in family_of(name).refusals]
PARTS = ("all", "attention", "ffn")
PAIRS = ((0, 1), (2, 3))

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}


def shared(name: str = "bert", **settings: Any) -> Bundle:
    return Share(**{"groups": 2, "recover": None, **settings}).run(trained(name), Context())


def model_on_meta(name: str, **config: float) -> Bundle:
    """The base model of BERT-base's shape, or another, without weights."""
    with torch.device("meta"):
        return Bundle(getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config)), None)


def shared_copies(bundle: Bundle, groups: tuple[tuple[int, ...], ...], part: str) -> Bundle:
    """A copy in which each block of a group has its own tensors, all with the values of the group's mean."""
    bundle = bundle.copy()
    blocks = bundle.family.module_list(bundle.model)
    for group in groups:
        before = [copy.deepcopy(dict(blocks[number].named_parameters())) for number in group]
        for path in {path for parameters in before for path in parameters if _belongs(bundle.family, path, part)}:
            values = [parameters[path].detach().double() for parameters in before if path in parameters]
            mean = (sum(values[1:], values[0]) / len(values)).float()
            for number in group:
                found = dict(blocks[number].named_parameters()).get(path)
                if found is not None:
                    found.data.copy_(mean)
    return bundle


def _belongs(family: Family, path: str, part: str) -> bool:
    attention = any(path.startswith(f"{module}.") for module in family.attention)
    return part == "all" or attention == (part == "attention")
