"""Masked language modelling and sentence order prediction: the sum of their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from compress.core.errors import Refusal
from compress.core.families.family import base_model
from compress.core.fit.hooks import Hook
from compress.core.fit.protocol import NO_LABEL
from compress.core.model.evaluation import Batch, model_inputs
from compress.distill.masked.model import ORDER
from compress.distill.terms import Terms

__all__ = ["MaskedWords"]

SHARE, HIDDEN, DRAWN = 0.15, 0.8, 0.1
"""Share of the tokens that are predicted; shares of those that are replaced by the mask, and by a random token."""


class MaskedWords(Hook):
    """Masked language modelling: cross entropy of masked tokens, and of the order of two segments where a row has two.

    15 % of the tokens are predicted; of these 80 % are replaced by the mask token, 10 % by a token drawn at random, and
    10 % stay. Single tokens are drawn, where ALBERT draws spans of up to three. Special tokens are never predicted.

    Args:
        tokenizer: with a mask token.

    Raises:
        Refusal: there is no tokenizer, or it has no mask token.

    References:
        Devlin et al. 2019, arXiv 1810.04805, section 3.1, task 1; the order: Lan et al. 2020, arXiv 1909.11942,
        section 3.1.
    """

    def __init__(self, tokenizer: Any) -> None:
        if getattr(tokenizer, "mask_token_id", None) is None:
            whose = "there is no tokenizer, and so" if tokenizer is None else f"{type(tokenizer).__name__} has"
            raise Refusal(
                f"recover by mlm: {whose} no mask token",
                advice="recover by distillation, or by task",
            )
        self.mask = int(tokenizer.mask_token_id)
        special = set(tokenizer.all_special_ids)
        self.special = torch.tensor(sorted(special))
        self.words = torch.tensor(sorted(set(tokenizer.get_vocab().values()) - special))
        self.terms = Terms(2)

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = model_inputs(batch)
        asked = self.asked(inputs["input_ids"])
        answers = inputs["input_ids"][asked]
        with _only(base_model(model), asked) as seen:
            logits = model(**{**inputs, "input_ids": self.hidden(inputs["input_ids"], asked)}).logits
        words = functional.cross_entropy(logits[0].float(), answers)
        order = _order(model, seen[0], batch["labels"])
        self.terms.add(torch.stack([words, order]))
        return words + order

    def asked(self, ids: Int[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
        """Which tokens are predicted, drawn at random; at least one in a batch."""
        able = ~torch.isin(ids, self.special.to(ids.device))
        drawn = torch.rand(ids.shape, device=ids.device).masked_fill(~able, 2.0)
        found = drawn < SHARE
        return found if bool(found.any()) else drawn == drawn.min()

    def hidden(self, ids: Int[Tensor, "batch length"], asked: Bool[Tensor, "batch length"]) -> Tensor:
        """The masked input.

        Args:
            ids: token ids before masking.
            asked: True for the tokens that are predicted.
        """
        drawn = torch.rand(ids.shape, device=ids.device)
        words = self.words.to(ids.device)
        others = words[torch.randint(len(words), ids.shape, device=ids.device)]
        given = torch.where(asked & (drawn < HIDDEN), torch.full_like(ids, self.mask), ids)
        return torch.where(asked & (drawn >= HIDDEN) & (drawn < HIDDEN + DRAWN), others, given)

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"last": self.terms.state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.terms.restore(state["last"])

    def facts(self, steps: int) -> dict[str, Any]:
        """The terms at the end of the training.

        Args:
            steps: of the whole training.
        """
        words, order = self.terms.means(steps) or (0.0, 0.0)
        return {"losses": {"masked_words": words, "order": order}}


@contextmanager
def _only(base: nn.Module, asked: Bool[Tensor, "batch length"]) -> Iterator[list[Tensor]]:
    """Within it the head computes the tokens `asked` alone; the body's hidden states of all tokens are collected."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> Any:
        seen.append(output.last_hidden_state)
        output.last_hidden_state = output.last_hidden_state[asked][None]
        return output

    handle = base.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def _order(model: nn.Module, hidden: Float[Tensor, "batch length width"], labels: Int[Tensor, " batch"]) -> Tensor:
    """Sentence order loss: cross entropy over the rows that have two segments; 0 where none has."""
    asked = labels != NO_LABEL
    answers = getattr(model, ORDER)(hidden[:, 0][asked])
    return functional.cross_entropy(answers.float(), labels[asked].long()) if bool(asked.any()) else answers.sum()
