"""Insertion of virtual tokens among the input embeddings."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from compress.core.errors import Refusal
from compress.core.families.family import Family, base_model, has
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import position_limit
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from finetune.inserted.insertion import Insertion
from finetune.inserted.prompts.encoder import Kind, PromptEncoder
from finetune.inserted.prompts.prompt import Prompt

__all__ = ["InsertPrompt", "encoder_of", "prompt_of", "settled"]


class InsertPrompt(Insertion):
    """Virtual tokens: `length` trained embeddings behind [CLS], or in front where the family has none."""

    cannot_merge: ClassVar[str | None] = "a prompt is a part of the input, and no weight of the base can hold it"

    length: Count
    encoder: Kind | None = Field(None, description="prompt encoder during training")

    def apply(self, bundle: Bundle) -> Bundle:
        encoder, family = encoder_of(bundle), bundle.family
        if hasattr(encoder, "prompt"):
            raise Refusal("the model has a prompt already", advice="tune the base, or choose another method")
        prompt = self._made(bundle, encoder)
        encoder.add_module("prompt", prompt)
        if family.word_embedding is None:
            attrgetter(family.embeddings or "")(base_model(bundle.model)).register_forward_hook(prompt.into_image)
        else:
            encoder.register_forward_pre_hook(prompt.into_text, with_kwargs=True)
        if family.decoder and has(base_model(bundle.model), family.decoder):
            decoder = attrgetter(family.decoder)(base_model(bundle.model))
            decoder.register_forward_pre_hook(prompt.widen, with_kwargs=True)
        else:
            encoder.register_forward_hook(prompt.out)
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        prompt = prompt_of(bundle)
        own = {id(parameter) for parameter in prompt.parameters()}
        return frozenset(name for name, parameter in bundle.model.named_parameters() if id(parameter) in own)

    def refuses(self, sketch: Sketch) -> str | None:
        return None

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"virtual_tokens": self.length}

    def _made(self, bundle: Bundle, encoder: Any) -> Prompt:
        family, config = bundle.family, bundle.config
        image = family.word_embedding is None
        width = getattr(config, family.config["hidden"]) if image else encoder.get_input_embeddings().embedding_dim
        limit = None if image else position_limit(config, family)
        if limit is not None and limit <= self.length + family.leading_tokens:
            raise Refusal(f"a prompt of {self.length} tokens leaves no room: the model has {limit} positions")
        with bundle.device:
            return Prompt(
                self.length,
                width,
                after=family.leading_tokens,
                padding=None if image else _padding(bundle.model, family),
                room=None if limit is None else limit - self.length,
                encoder=PromptEncoder(self.encoder, width) if self.encoder else None,
            )


def encoder_of(bundle: Bundle) -> Any:
    """Module that takes the model's input."""
    base = base_model(bundle.model)
    path = bundle.family.encoder
    return attrgetter(path)(base) if path and has(base, path) else base


def prompt_of(bundle: Bundle) -> Prompt:
    """The model's prompt."""
    prompt: Prompt = encoder_of(bundle).prompt
    return prompt


def settled(bundle: Bundle) -> Bundle:
    """Bundle with its prompt computed once and its encoder dropped, and a history that records it."""
    prompt_of(bundle).settle()
    bundle.changes = tuple(
        change.model_copy(update={"encoder": None}) if isinstance(change, InsertPrompt) else change
        for change in bundle.changes
    )
    return bundle


def _padding(model: nn.Module, family: Family) -> int | None:
    """A table of positions with a row for padding counts the other tokens from the next row on."""
    path = family.position_embedding
    if path is None or not has(base_model(model), path):
        return None
    return getattr(attrgetter(path)(base_model(model)), "padding_idx", None)
