"""Prompt: virtual tokens among the input embeddings, removed again before the head."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError
from finetune.inserted.prompts.encoder import PromptEncoder

__all__ = ["Prompt"]


class Prompt(nn.Module):
    """Embedding matrix of the virtual tokens, and the hooks that insert and remove them.

    It is a child of the encoder that it hooks, and its hooks are methods of its own, so that a deep copy is whole.

    Args:
        length: number of virtual tokens.
        width: embedding size.
        after: tokens of the input that stay in front ([CLS]).
        padding: where positions count the tokens that are not padding (RoBERTa): the padding's id; None elsewhere.
        room: the longest input that leaves enough positions for the prompt; None where there is no limit.
        encoder: computes the tokens from the table; None where they are the table.
    """

    def __init__(
        self,
        length: int,
        width: int,
        *,
        after: int,
        padding: int | None = None,
        room: int | None = None,
        encoder: PromptEncoder | None = None,
    ):
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))
        self.encoder = encoder
        self.after, self.padding, self.room = after, padding, room
        nn.init.normal_(self.table, std=0.02)

    def forward(self) -> Tensor:
        """The virtual tokens, (length, width)."""
        return self.table if self.encoder is None else self.encoder(self.table)

    @torch.no_grad()
    def settle(self) -> None:
        """Compute the tokens once and for all, and drop the encoder that made them."""
        self.table.copy_(self())
        self.encoder = None

    def into_text(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        """Hook before a text encoder: its inputs with the prompt among them, as embeddings."""
        given = {**dict(zip(inspect.signature(module.forward).parameters, args)), **kwargs}
        if given.get("past_key_values") is not None:
            raise InputError("a model with a prompt cannot go on from cached keys and values: the prompt is in them")
        ids, words = given.get("input_ids"), given.get("inputs_embeds")
        words = module.get_input_embeddings()(ids) if words is None else words
        self._check(words, given.get("attention_mask"))
        if given.get("position_ids") is not None:
            given["position_ids"] = self._positions(given["position_ids"])
        elif ids is not None and self.padding is not None:
            there = self._among(ids.ne(self.padding).long(), 1)
            given["position_ids"] = there.cumsum(1) * there + self.padding
        if given.get("attention_mask") is not None:
            given["attention_mask"] = self._among(given["attention_mask"], 1)
        if given.get("token_type_ids") is not None:
            given["token_type_ids"] = self._among(given["token_type_ids"], 0)
        return (), {**given, "input_ids": None, "inputs_embeds": self.among(words)}

    def into_image(self, module: Any, args: Any, output: Tensor) -> Tensor:
        """Hook after the embeddings of an image, which have their positions: the prompt has none."""
        return self.among(output)

    def out(self, module: Any, args: Any, output: Any) -> Any:
        """Hook after an encoder: its outputs by position, without those of the prompt."""
        length = output[0].shape[1]
        if isinstance(output, tuple):
            return tuple(self._without(value, length) for value in output)
        return type(output)(**{name: self._without(value, length) for name, value in output.items()})

    def widen(self, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Hook before a decoder, which attends to the prompt as to the rest of the encoder's positions."""
        mask = kwargs.get("encoder_attention_mask")
        return args, kwargs if mask is None else {**kwargs, "encoder_attention_mask": self._among(mask, 1)}

    def among(self, embeddings: Tensor) -> Tensor:
        """(batch, length of the input and of the prompt, width)."""
        own = self().to(embeddings.dtype).expand(len(embeddings), -1, -1)
        return torch.cat([embeddings[:, : self.after], own, embeddings[:, self.after :]], dim=1)

    def _among(self, values: Tensor, own: int) -> Tensor:
        """The same of one value for each token; `own` is the prompt's."""
        between = values.new_full((len(values), len(self.table)), own)
        return torch.cat([values[:, : self.after], between, values[:, self.after :]], dim=1)

    def _positions(self, given: Tensor) -> Tensor:
        start = given[:, self.after - 1 : self.after] + 1 if self.after else given[:, :1]
        own = start + torch.arange(len(self.table), device=given.device)
        return torch.cat([given[:, : self.after], own, given[:, self.after :] + len(self.table)], dim=1)

    def _without(self, value: Any, length: int) -> Any:
        if isinstance(value, tuple):
            return tuple(self._without(part, length) for part in value)
        if isinstance(value, Tensor) and value.dim() == 3 and value.shape[1] == length:
            return torch.cat([value[:, : self.after], value[:, self.after + len(self.table) :]], dim=1)
        return value

    def _check(self, words: Tensor, mask: Any) -> None:
        if mask is not None and mask.dim() != 2:
            raise InputError(
                "a prompt needs to know which tokens are padding",
                given=f"an attention mask of {mask.dim()} dimensions",
                advice="give a mask of (batch, length)",
            )
        if self.room is not None and not torch.jit.is_tracing() and words.shape[1] > self.room:
            raise InputError(
                f"the input and the prompt of {len(self.table)} tokens need more positions than the model has",
                given=f"{words.shape[1]} tokens",
                advice=f"cut the input at {self.room} tokens",
            )
