"""The vector that a model's head reads of each row, and the head run again on it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.stage.task import answering
from finetune.cached.reader import Reader, forwards_replaced, last_places

__all__ = ["HeadReader"]


class HeadReader(Reader):
    """Features are what the head's first linear is given, (rows, width).

    The head is run with a base model that answers each row with its vector: as its pooled output, and as a sequence of
    length one. So the features of a decoder, or behind a pooler that is not trained, are one vector too.
    """

    unit: ClassVar[str] = "vector"
    advice: ClassVar[str] = "train with another method"

    def __init__(self, bundle: Bundle, names: frozenset[str]):
        super().__init__(bundle, names)
        owners = {name.rpartition(".")[0] for name in names}
        self.base = base_model(self.model)
        self.linears = [m for path, m in self.model.named_modules() if path in owners and isinstance(m, nn.Linear)]
        trained = {id(self.model.get_parameter(name)) for name in names}
        pooler = getattr(self.base, "pooler", None)
        self.pools = pooler is not None and any(id(parameter) in trained for parameter in pooler.parameters())
        self.output: Any = None

    def read(self, inputs: dict[str, Tensor]) -> Tensor:
        seen: list[Tensor] = []
        first = self.output is None
        handles = [linear.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for linear in self.linears]
        handles.append(self.base.register_forward_hook(lambda _, __, output: setattr(self, "output", type(output))))
        try:
            logits = answering(self.model(**inputs))
        finally:
            for handle in handles:
                handle.remove()
        vectors = seen[0]
        if vectors.dim() == 3:
            vectors = vectors[torch.arange(len(vectors), device=vectors.device), last_places(inputs)]
        if first:
            self.right([vectors], logits)
        return vectors.clone()

    def answer(self, model: nn.Module, features: Tensor) -> dict[str, Tensor]:
        config: Any = self.base.config
        end = config.eos_token_id if isinstance(getattr(config, "eos_token_id", None), int) else 0
        ones = torch.ones(len(features), 1, dtype=torch.long, device=features.device)
        # A model that finds its vector by the end of the text finds it at once.
        inputs = {"input_ids": ones * end, "attention_mask": ones, "pixel_values": features}
        with forwards_replaced([self.base], lambda *_, **__: self._said(features)):
            return self.logits(model, inputs)

    def _said(self, vectors: Tensor) -> Any:
        sequence = vectors[:, None]
        said = {"last_hidden_state": sequence}
        if "pooler_output" in self.output.__dataclass_fields__:
            said["pooler_output"] = self._pooled(sequence) if self.pools else vectors
        return self.output(**said)

    def _pooled(self, sequence: Tensor) -> Tensor:
        base: Any = self.base
        if isinstance(base.pooler, nn.Linear):  # ALBERT's, with its activation beside it
            return base.pooler_activation(base.pooler(sequence[:, 0]))
        return base.pooler(sequence)
