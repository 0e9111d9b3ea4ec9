"""A masked language model around a body: the family's own head, and one for sentence order prediction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.core.checkpoint.config import open_config
from compress.core.checkpoint.open import open_weights
from compress.core.checkpoint.resolve import Checkpoint
from compress.core.checkpoint.weights import find_weights
from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model, family_of, stock_type
from compress.core.layers.low_rank import FactorizedEmbedding
from compress.core.model.bundle import Bundle
from compress.core.model.config import built_config
from compress.core.surgery.width import keep_width

__all__ = ["ORDER", "check_head", "masked_class", "masked_model", "refusal"]

ORDER = "order_of_segments"
"""The attribute of the model that is its head for sentence order prediction."""


def refusal(family: Family) -> str | None:
    """Why models of the family cannot be trained by masked language modelling, or None."""
    if family.decoder is not None:
        return f"a {family.model_type} model has a decoder, which generates tokens instead of filling in masked ones"
    if masked_class(family) is None:
        return f"a {family.model_type} model has no masked language modelling head"
    return None


def masked_class(family: Family) -> Any:
    """transformers' class for masked language modelling, or None where the family has none."""
    import transformers

    mapping: Any = transformers.AutoModelForMaskedLM._model_mapping
    config = transformers.CONFIG_MAPPING[family.model_type]
    return mapping.get(config, None)


def masked_model(bundle: Bundle, *, seed: int, head: str | None = None) -> Any:
    """Masked language model around the body of `bundle` itself, not a copy; its output is tied to the embedding matrix.

    Args:
        bundle: whose body it is; its own head stays where it is.
        seed: of the initial values of what is fresh.
        head: a checkpoint whose masked language modelling head it starts from; drawn by the seed unless given.

    Raises:
        Refusal: the family has no such head.
        InputError: the checkpoint `head` has none, or one of another width.
    """
    why = refusal(bundle.family)
    if why:
        raise Refusal(f"recover by mlm: {why}", advice="recover by distillation, or by task")
    base = base_model(bundle.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _fresh(bundle)
        setattr(model, ORDER, _order_head(int(getattr(bundle.config, bundle.family.config["hidden"]))))
    setattr(model, model.base_model_prefix, base)
    if head is not None:
        _start_from(model, head)
    _tie(model, base, bundle.family)
    return model.to(bundle.device)


def _fresh(bundle: Bundle) -> Any:
    """The family's masked language model, of the bundle's hidden size, with fresh values."""
    config, family = built_config(bundle.model), bundle.family
    config.tie_word_embeddings = True
    found = masked_class(family)
    config.architectures = [found.__name__]
    model = found(config)
    width = int(getattr(bundle.config, family.config["hidden"]))
    if width < getattr(config, family.config["hidden"]):
        keep_width(model, family, tuple(range(width)))
    return model


def _order_head(width: int) -> nn.Module:
    """As the poolers of BERT and ALBERT and their heads are; the model's own pooler belongs to the task."""
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))


def _tie(model: Any, base: nn.Module, family: Family) -> None:
    """Tie the output embeddings to the embedding matrix, also where that is a product of two factors."""
    table = base.get_submodule(family.word_embedding or "")
    output = model.get_output_embeddings()
    if isinstance(table, FactorizedEmbedding):
        model.set_output_embeddings(_OverWords(table, output))
    else:
        model.tie_weights()


class _OverWords(nn.Module):
    """Logits over the vocabulary by the rows of a factorized embedding."""

    def __init__(self, table: nn.Module, linear: Any) -> None:
        super().__init__()
        self.bias = linear.bias
        self._table = (table,)  # not a part of this module: it is one of the body

    @property
    def weight(self) -> Any:
        return self._table[0].weight

    def forward(self, hidden: Tensor) -> Tensor:
        words = torch.arange(self.weight.shape[0], device=hidden.device)
        return functional.linear(hidden, self._table[0](words), self.bias)


def check_head(reference: str, family: Family) -> Checkpoint:
    """The checkpoint that a masked language modelling head is to come from.

    Args:
        reference: a directory, or a name on the hub.
        family: of the model that the head is for.

    Raises:
        InputError: there is no such directory, it holds no weights, or a model of another family.
    """
    checkpoint = Checkpoint.at(reference)
    theirs = stock_type(str(checkpoint.config.get("model_type")))
    if theirs != family.model_type:
        raise InputError(
            f"the checkpoint of the head is of another family: {theirs!r}, not {family.model_type!r}",
            given=reference,
            advice="name a checkpoint of the model's own family, or leave out `head`",
        )
    find_weights(checkpoint.found, needed=not checkpoint.hub)
    return checkpoint


def _start_from(model: Any, reference: str) -> None:
    """Copy the checkpoint's parameters outside of its body; those over the vocabulary only where its size is equal."""
    checkpoint = check_head(reference, family_of(model.config.model_type))
    kind = type(model)
    prefix = f"{model.base_model_prefix}."
    heads = [name for name, _ in model.named_children() if name not in (model.base_model_prefix, ORDER)]
    theirs, loaded = open_weights(
        checkpoint, kind, config=open_config(checkpoint), dtype=torch.float32, heads=[*heads, "pooler"]
    )
    missing = sorted(name for name in loaded.fresh if not name.startswith(prefix))
    state = {n: t for n, t in theirs.named_parameters() if not n.startswith(prefix)}
    ours = {n: t for n, t in model.named_parameters() if not n.startswith((prefix, ORDER)) and n in state}
    odd = [
        n for n, t in ours.items() if t.dim() > 1 and t.shape != state[n].shape and t.shape[1:] != state[n].shape[1:]
    ]
    if missing or odd:
        raise InputError(
            "the checkpoint has no masked language modelling head of this hidden size",
            given=reference,
            advice="leave out `head`",
        )
    with torch.no_grad():
        for name, tensor in ours.items():
            if tensor.shape == state[name].shape:
                tensor.copy_(state[name])
